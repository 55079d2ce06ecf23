// positions.cpp - see positions.h
#include "torch/positions.h"

#include <cstring>

#include "torch/names.h"

namespace dgt {
namespace {

struct Rule {
  const char *ops;   // names apart by spaces, of which each stands for its in-place form too; "*": every operator
  const char *names; // of arguments
  From1 how;
};

// The first rule that fits holds.
const Rule arguments[] = {
    // what is called like a position and is a count, a size, an offset, a value or a batch of something else
    {"tile", "dims", From1::no}, // how often each dimension is repeated
    {"_sobol_engine_draw _sobol_engine_ff _sobol_engine_initialize_state _sobol_engine_scramble", "dimension", From1::no},
    {"_validate_compressed_sparse_indices", "cdim dim", From1::no},
    {"tensor_split dsplit hsplit vsplit", "indices tensor_indices_or_sections", From1::no}, // where a part ends: 1..n either way
    {"segment_reduce _segment_reduce_backward _spdiags _nested_view_from_buffer _nested_view_from_buffer_copy "
     "_jagged_to_padded_dense_forward _padded_dense_to_jagged_forward _nested_from_padded_tensor _nested_view_from_jagged "
     "_nested_view_from_jagged_copy", "offsets", From1::no}, // boundaries: n + 1 of them, the first is 0
    {"*", "crow_indices ccol_indices compressed_indices compressed_idx", From1::no}, // boundaries too
    {"index_add index_copy index_reduce masked_scatter put set set_", "source", From1::no}, // values
    {"lerp arange linspace logspace range", "start end", From1::no},
    {"random can_cast _has_compatible_shallow_copy_type", "from to", From1::no},
    {"binary_cross_entropy binary_cross_entropy_backward binary_cross_entropy_with_logits cosine_embedding_loss hinge_embedding_loss "
     "huber_loss huber_loss_backward kl_div l1_loss margin_ranking_loss mse_loss mse_loss_backward poisson_nll_loss smooth_l1_loss "
     "smooth_l1_loss_backward soft_margin_loss soft_margin_loss_backward", "target", From1::no},
    {"*", "device_index impl_index dense_dim sparse_dim embed_dim last_dim_size self_num_batch_dims storage_offset "
          "col_offsets col_offsets_hh col_offsets_ih philox_offset target_lengths is_target ind addends offset", From1::no},

    // dimensions
    {"*", "dim dims dim0 dim1 dim2 start_dim end_dim destination dimension dims_self dims_other axis axis0 axis1 ch_axis out_dim "
          "batch_dim unroll_dim sumdim expand1 expand2 expand3 source ellipsis_idx ragged_idx", From1::dim},

    // single positions
    {"select select_copy select_scatter select_backward _nested_select_backward", "index", From1::index},
    {"narrow narrow_copy slice slice_copy slice_scatter slice_backward slice_inverse", "start", From1::index},
    {"slice slice_copy slice_scatter slice_backward slice_inverse", "end", From1::last},
    {"ctc_loss _ctc_loss _ctc_loss_backward _cudnn_ctc_loss _use_cudnn_ctc_loss", "blank", From1::index},
    {"*", "ignore_index", From1::optional},
    {"embedding embedding_backward embedding_dense_backward embedding_sparse_backward", "padding_idx", From1::optional},
    {"*", "padding_idx", From1::index}, // of bags; -1: none, or of embedding_bag itself the last row

    // tensors of positions
    {"take put index_fill", "index", From1::index},
    {"*", "index", From1::index_tensor},
    {"index index_put _index_put_impl _unsafe_index _unsafe_index_put _unsafe_masked_index _unsafe_masked_index_put_accumulate "
     "embedding_renorm", "indices", From1::index},
    {"_cummax_helper _cummin_helper", "indices", From1::written},
    {"*", "indices col_indices row_indices plain_indices plain_idx mask_indices maximum_indices offset2bag sorter head "
          "compressed_indices_mapping", From1::index_tensor},
    {"*", "offsets", From1::index}, // of bags: where each begins
    {"one_hot _convert_indices_from_coo_to_csr", "self", From1::index_tensor},
    {"nll_loss nll_loss_forward nll_loss_backward nll_loss2d nll_loss2d_forward nll_loss2d_backward nll_loss_nd cross_entropy_loss "
     "multi_margin_loss multi_margin_loss_backward", "target", From1::index_tensor},
    {"multilabel_margin_loss multilabel_margin_loss_forward multilabel_margin_loss_backward", "target", From1::index}, // -1 ends a row
    {"ctc_loss _ctc_loss _ctc_loss_backward _cudnn_ctc_loss _use_cudnn_ctc_loss", "targets", From1::index_tensor},
};

struct Result {
  const char *ops;
  int number; // from 0
};

const Result results[] = {
    {"argmax argmin argsort argwhere nonzero nonzero_static nonzero_numpy multinomial randperm tril_indices triu_indices searchsorted "
     "bucketize indices _indices indices_copy _indices_copy col_indices col_indices_copy row_indices row_indices_copy "
     "_convert_indices_from_csr_to_coo", 0},
    {"max min topk sort kthvalue median nanmedian mode cummax cummin max_pool1d_with_indices max_pool2d_with_indices "
     "max_pool3d_with_indices adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d fractional_max_pool2d "
     "fractional_max_pool3d _unique _unique2 unique_dim unique_consecutive unique_dim_consecutive _rowwise_prune", 1},
    {"embedding_bag _embedding_bag _embedding_bag_forward_only", 1}, // offset2bag
    {"embedding_bag _embedding_bag _embedding_bag_forward_only", 3}, // of each bag's maximum
};

bool is_of(const char *ops, const std::string &op) { return strcmp(ops, "*") == 0 || names_operator(ops, op); }

}  // namespace

From1 argument_from_one(const std::string &op, const std::string &name) {
  if (name.empty()) return From1::unknown;
  for (const Rule &r : arguments)
    if (has_word(r.names, name) && is_of(r.ops, op)) return r.how;
  return From1::unknown;
}

From1 result_from_one(const std::string &op, const std::string &overload, size_t nargs, size_t r) {
  // where(condition) gives positions, where(condition, a, b) values; so does repeat_interleave(repeats).
  if (op == "where") return nargs == 1 ? From1::index : From1::no;
  if (op == "repeat_interleave") return overload.rfind("Tensor", 0) == 0 ? From1::index : From1::no;
  for (const Result &e : results)
    if ((int)r == e.number && is_of(e.ops, op)) return From1::index;
  return From1::unknown;
}

}  // namespace dgt

"""Sparse products: equal to dense ones in value and gradient, in double precision, on awkward patterns."""

from __future__ import annotations

import pytest
import references
import torch
from checks import close
from torch import Tensor

from graphssl import adjacency
from graphssl.adjacency import (
    CSR,
    Pattern,
    add_self_loops,
    all_finite,
    gather_rows,
    matmul,
    max_neighbours,
    row_pointers,
    segment_softmax,
    true_entries,
    weighted_sum,
    with_self_loops,
)


def random_csr(rows: int = 7, cols: int = 5, share: float = 0.4, seed: int = 0, *, ones: bool = False) -> CSR:
    """A random matrix in double precision; rows 0 and the last are empty."""
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(rows, cols, generator=generator, dtype=torch.float64)
    dense *= torch.rand(rows, cols, generator=generator) < share
    dense[0] = dense[-1] = 0
    return CSR.from_dense((dense != 0).double() if ones else dense)


def parallel() -> CSR:
    """A square matrix with an entry that stands twice, and an empty row."""
    row, col = torch.tensor([0, 0, 0, 2]), torch.tensor([1, 1, 2, 0])
    return CSR(Pattern(row_pointers(row, 3), col, 3), torch.tensor([1.0, 2.0, 3.0, -4.0], dtype=torch.float64))


def empty() -> CSR:
    """No entries at all."""
    return CSR(Pattern(torch.zeros(4, dtype=torch.long), torch.empty(0, dtype=torch.long), 3), torch.empty(0, dtype=torch.float64))


MATRICES = {
    "tall": random_csr,
    "wide": lambda: random_csr(4, 9),
    "square": lambda: random_csr(6, 6),
    "full": lambda: random_csr(5, 5, 1.1),
    "parallel": parallel,
    "empty": empty,
}
each_matrix = pytest.mark.parametrize("name", MATRICES)


def h_for(matrix: CSR, width: int = 3) -> Tensor:
    return torch.randn(matrix.size(1), width, dtype=torch.float64, generator=torch.Generator().manual_seed(9), requires_grad=True)


@each_matrix
def test_product_and_gradient_equal_dense(name: str) -> None:
    matrix = MATRICES[name]()
    h = h_for(matrix)
    dense = matrix.to_dense()
    close(matrix @ h, dense @ h, 1e-12)
    grad = torch.randn(matrix.size(0), 3, dtype=torch.float64)
    close(torch.autograd.grad(matrix @ h, h, grad)[0], dense.t() @ grad, 1e-12)
    assert torch.autograd.gradcheck(lambda h: matrix @ h, h)


@each_matrix
def test_product_of_ones(name: str) -> None:
    pattern = MATRICES[name]().pattern
    h = h_for(CSR(pattern))
    counts = torch.zeros(pattern.num_rows, pattern.num_cols, dtype=torch.float64)
    counts.index_put_((pattern.row, pattern.col.long()), torch.ones(pattern.num_entries, dtype=torch.float64), accumulate=True)
    close(CSR(pattern) @ h, counts @ h, 1e-12)
    assert torch.autograd.gradcheck(lambda h: CSR(pattern) @ h, h)


@each_matrix
def test_transpose(name: str) -> None:
    matrix = MATRICES[name]()
    close(matrix.t().to_dense(), matrix.to_dense().t(), 1e-15)
    close(matrix.t().t().to_dense(), matrix.to_dense(), 1e-15)
    assert matrix.t().shape == matrix.shape[::-1]
    close(matrix.with_values(matrix.values() * 2).t().to_dense(), 2 * matrix.to_dense().t(), 1e-15)


@each_matrix
def test_transposing_by_counting_is_a_stable_sort(name: str) -> None:
    pattern = MATRICES[name]().pattern
    turned, perm = Pattern(pattern.ptr, pattern.col, pattern.num_cols).transpose()
    assert perm.tolist() == pattern.col.argsort(stable=True).tolist()
    assert turned.col.tolist() == pattern.row[perm].tolist()
    assert turned.counts.tolist() == pattern.col.bincount(minlength=pattern.num_cols).tolist()
    assert turned.num_cols == pattern.num_rows


def test_symmetric_is_its_own_transpose() -> None:
    dense = random_csr(5, 5).to_dense()
    matrix = CSR.from_dense(dense + dense.t())
    symmetric = CSR(matrix.pattern, matrix.val, symmetric=True)
    assert symmetric.t() is symmetric
    assert torch.autograd.gradcheck(lambda h: symmetric @ h, h_for(symmetric))


@each_matrix
def test_transpose_of_a_filtered_pattern(name: str) -> None:
    """Filtering a transpose that is known gives what transposing the filtered pattern gives."""
    pattern = MATRICES[name]().pattern
    keep = torch.arange(pattern.num_entries) % 3 != 1
    index, before = true_entries(keep)
    fresh = pattern.keep(keep, index, before)
    pattern.transpose()
    filtered = pattern.keep(keep, index, before)
    for a, b in zip((fresh, *fresh.transpose()), (filtered, *filtered.transpose()), strict=True):
        if isinstance(a, Pattern):
            assert torch.equal(a.ptr, b.ptr)
            assert torch.equal(a.col, b.col)
        else:
            assert torch.equal(a, b)
    values = torch.arange(filtered.num_entries, dtype=torch.float64) + 1
    close(CSR(filtered, values).t().to_dense(), CSR(fresh, values).to_dense().t(), 1e-15)


@each_matrix
def test_rows(name: str) -> None:
    matrix = MATRICES[name]()
    for index in (torch.tensor([2, 0, 2]), torch.arange(matrix.size(0)).flip(0), torch.empty(0, dtype=torch.long)):
        close(matrix.rows(index).to_dense(), matrix.to_dense()[index], 1e-15)


@each_matrix
def test_scale_columns(name: str) -> None:
    matrix = MATRICES[name]()
    scale = torch.arange(matrix.size(1), dtype=torch.float64)
    close(matrix.scale_columns(scale).to_dense(), matrix.to_dense() * scale, 1e-15)
    close(matrix.scale_columns(scale).t().to_dense(), (matrix.to_dense() * scale).t(), 1e-15)


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
@each_matrix
def test_from_torch(name: str, layout: torch.layout) -> None:
    dense = MATRICES[name]().to_dense()
    close(CSR.from_torch(dense.to_sparse(layout=layout)).to_dense(), dense, 1e-15)


def test_from_torch_adds_what_stands_twice() -> None:
    coo = torch.sparse_coo_tensor(torch.tensor([[1, 0, 1], [0, 1, 0]]), torch.tensor([1.0, 2.0, 3.0]), (2, 2), check_invariants=True)
    assert CSR.from_torch(coo).to_dense().tolist() == [[0, 2], [4, 0]]


@each_matrix
def test_weight_gets_the_dense_gradient(name: str) -> None:
    x = MATRICES[name]()
    weight = h_for(x)
    close(matmul(x, weight), matmul(x.to_dense(), weight), 1e-12)
    assert torch.autograd.gradcheck(lambda w: matmul(x, w), weight)


@each_matrix
def test_weighted_sum(name: str) -> None:
    matrix = MATRICES[name]()
    h, val = h_for(matrix), matrix.values().clone().requires_grad_()
    close(weighted_sum(matrix.pattern, val, h), matrix.to_dense() @ h, 1e-12)
    if matrix.pattern.num_entries:
        assert torch.autograd.gradcheck(lambda val, h: weighted_sum(matrix.pattern, val, h), (val, h))


def test_weighted_sum_in_chunks() -> None:
    from graphssl.adjacency import _pair_products

    matrix = random_csr(20, 20)
    left, right = torch.randn(20, 3), torch.randn(20, 3)
    whole = _pair_products(matrix.pattern, left, right)
    for chunk in (1, 7, matrix.pattern.num_entries - 1):
        close(_pair_products(matrix.pattern, left, right, chunk), whole, 1e-6)


@each_matrix
def test_segment_softmax(name: str) -> None:
    pattern = MATRICES[name]().pattern
    scores = 30 * torch.randn(pattern.num_entries, 2, dtype=torch.float64, requires_grad=True)
    weights = segment_softmax(scores, pattern)
    close(weights, references.segment_softmax(scores.detach(), pattern.row), 1e-12)
    if pattern.num_entries:
        small = torch.randn(pattern.num_entries, 2, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda s: segment_softmax(s, pattern), small)


def test_segment_softmax_of_large_scores() -> None:
    pattern = random_csr().pattern
    scores = torch.full((pattern.num_entries, 1), 1e4)
    assert segment_softmax(scores, pattern).isfinite().all()
    assert segment_softmax(-scores, pattern).isfinite().all()


@each_matrix
def test_max_neighbours(name: str) -> None:
    pattern = MATRICES[name]().pattern
    if pattern.num_rows != pattern.num_cols:
        return
    h = torch.randn(pattern.num_cols, 3, dtype=torch.float64, requires_grad=True) - 2  # mostly below the zero of an empty row
    h = h.detach().requires_grad_()
    edges = torch.stack([pattern.col.long(), pattern.row])
    close(max_neighbours(pattern, h), references.max_neighbours(edges, h.detach()), 1e-15)
    assert torch.autograd.gradcheck(lambda h: max_neighbours(pattern, h), h)


@pytest.mark.parametrize("name", ["square", "full", "parallel", "empty"])
def test_self_loops(name: str) -> None:
    matrix = MATRICES[name]()
    if matrix.size(0) != matrix.size(1):
        matrix = CSR(Pattern(matrix.pattern.ptr, matrix.pattern.col, matrix.size(0)), matrix.val)
    dense = matrix.to_dense()
    there = {int(r) for r, c in zip(matrix.pattern.row, matrix.pattern.col, strict=True) if r == c}
    for i in range(dense.size(0)):
        if i not in there:
            dense[i, i] = 0.5
    pattern, val = with_self_loops(matrix.pattern, matrix.values(), fill=0.5)
    close(CSR(pattern, val).to_dense(), dense, 1e-15)
    assert pattern.num_entries == matrix.pattern.num_entries + matrix.size(0) - len(there)
    assert torch.equal(add_self_loops(matrix.pattern).col, pattern.col)
    again, same = with_self_loops(pattern, val, fill=9)
    assert torch.equal(again.col, pattern.col)
    assert torch.equal(same, val)


@pytest.mark.parametrize("keep", [[], [True], [False], [True, False, True, True], [False] * 5, [True] * 5])
def test_true_entries(keep: list[bool]) -> None:
    mask = torch.tensor(keep, dtype=torch.bool)
    index, before = true_entries(mask)
    assert index.tolist() == [i for i, k in enumerate(keep) if k]
    assert before.tolist() == [sum(keep[:i]) for i in range(len(keep) + 1)]


@each_matrix
def test_gather_rows(name: str) -> None:
    pattern = MATRICES[name]().pattern
    index = torch.tensor([1, 2, 1])
    entries, ptr = gather_rows(pattern.ptr, index)
    expected = [e for i in index.tolist() for e in range(int(pattern.ptr[i]), int(pattern.ptr[i + 1]))]
    assert entries.tolist() == expected
    assert ptr.diff().tolist() == pattern.counts[index].tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_low_precision_products(dtype: torch.dtype) -> None:
    matrix = random_csr()
    h = h_for(matrix).detach().to(dtype).requires_grad_()
    out = matrix @ h
    assert out.dtype == dtype
    out.sum().backward()
    assert h.grad is not None
    close(h.grad, matrix.to_dense().sum(0)[:, None].expand_as(h), 0.05)


def test_values_that_ask_for_a_gradient_get_one() -> None:
    pattern = Pattern(torch.tensor([0, 2, 3]), torch.tensor([0, 2, 1]), 3)
    val = torch.randn(3, dtype=torch.float64, requires_grad=True)
    h = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, x: CSR(pattern, v) @ x, (val, h))


def test_a_second_derivative_is_refused_and_not_dropped() -> None:
    pattern = Pattern(torch.tensor([0, 2, 3]), torch.tensor([0, 2, 1]), 3)
    h = torch.randn(3, 4, requires_grad=True)
    for loss in ((CSR(pattern) @ h).square().sum(), (CSR(pattern) @ h).sum()):
        with pytest.raises(RuntimeError, match=r"_Product, which is once_differentiable"):
            torch.autograd.grad(loss, h, create_graph=True)


@pytest.mark.parametrize("shape", [(0, 3), (7,), (10, 3), (5, 0)])
def test_all_numbers_are_looked_at(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adjacency, "CHECKED", 4)  # many pieces
    x = torch.ones(shape)
    assert all_finite(x)
    for i in range(x.numel()):
        for bad in (float("nan"), float("-inf")):
            spoilt = x.flatten().index_fill(0, torch.tensor([i]), bad).view(shape)
            assert not all_finite(spoilt)

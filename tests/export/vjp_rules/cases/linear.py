"""Cases of products."""

from tests.export.vjp_rules.cases.case import case, random

_MATMULS = (
    ((3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((2, 3, 4), (4, 5)),
    ((3, 4), (2, 4, 5)),
    ((4,), (4,)),
    ((4,), (4, 3)),
    ((3, 4), (4,)),
    ((4,), (2, 4, 3)),
    ((2, 3, 4), (4,)),
    ((1, 3, 4), (2, 4, 5)),
)

_EINSUMS = (
    ("ij,jk->ik", (3, 4), (4, 5)),
    ("bik,bjk->bij", (2, 3, 4), (2, 5, 4)),
    ("i,j->ij", (3,), (4,)),
    ("ij,ij->", (3, 4), (3, 4)),
    ("ij,kl->ik", (3, 4), (5, 2)),
    ("bhid,bhjd->bhij", (2, 3, 4, 5), (2, 3, 2, 5)),
    ("ij, jk", (3, 4), (4, 5)),
    ("...ij,...jk->...ik", (2, 3, 4), (2, 4, 5)),
    ("...ij,jk->...ik", (2, 3, 4), (4, 5)),
    ("...ij,...jk->...ik", (2, 1, 3, 4), (1, 6, 4, 5)),
    ("i...,i...->...i", (3, 1, 4), (3, 2, 1)),
    ("ji,kj->ki", (3, 4), (5, 3)),
    ("ij,j->i", (3, 4), (4,)),
)

CASES = (
    *(case("MatMul", random(*first), random(*second, seed=1), wrt=(0, 1)) for first, second in _MATMULS),
    *(
        case(
            "Gemm",
            random(*((4, 3) if turns_a else (3, 4))),
            random(*((5, 4) if turns_b else (4, 5)), seed=1),
            random(*bias, seed=2),
            wrt=(0, 1, 2),
            transA=turns_a,
            transB=turns_b,
            alpha=0.7,
            beta=1.3,
        )
        for turns_a in (0, 1)
        for turns_b in (0, 1)
        for bias in ((5,), (3, 1))
    ),
    case("Gemm", random(3, 4), random(4, 5, seed=1), wrt=(0, 1)),
    case("Gemm", random(3, 4), random(4, 5, seed=1), random(3, 5, seed=2), wrt=(0, 1, 2)),
    case("Gemm", random(3, 4), random(4, 5, seed=1), random(1, seed=2), wrt=(0, 1, 2)),
    *(case("Einsum", random(*a), random(*b, seed=1), wrt=(0, 1), equation=equation) for equation, a, b in _EINSUMS),
    case("Einsum", random(2, 3, 4), equation="ijk->kji"),
    case("Einsum", random(2, 3, 4), equation="ijk->j"),
    case("Einsum", random(2, 3, 4), equation="...i->...", note="sum"),
    case("Einsum", random(3, 4), random(4, 5, seed=1), random(5, 2, seed=2), wrt=(0, 1, 2), equation="ij,jk,kl->il"),
)

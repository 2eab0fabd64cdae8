"""The network: what it reads, what it must not notice, and that it learns."""

import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nbsr.errors import UsageError
from nbsr.expression import CONST, PAD, Vocabulary
from nbsr.model import (
    Encoding,
    Model,
    ModelConfig,
    Policy,
    attend,
    attention_over_rows,
    bits_of,
    encode_table,
    hl_gauss,
    prepare,
)

TINY = ModelConfig(
    variables=4, operators=("+", "*", "-", "/", "sin", "pow2"), width=32, heads=2, inducing=8, seeds=8,
    seed_blocks=1, decoder_blocks=2, max_length=12,
)  # fmt: skip


def make(config=TINY, seed=0):
    torch.manual_seed(seed)
    return Model(config).eval()


def tables(count=3, rows=20, columns=4, seed=0):
    rng = np.random.default_rng(seed)
    inputs = torch.from_numpy(
        rng.lognormal(size=(count, rows, columns)) * 10.0 ** rng.integers(-6, 6, columns)
    )
    response = inputs[..., 0] * inputs[..., 1] + inputs[..., -1]
    shape = (count, rows)
    return inputs, response, torch.ones(shape, dtype=torch.bool), torch.ones(count, columns, dtype=torch.bool)


# -- how it begins


def test_every_weight_is_drawn_and_by_the_seed(monkeypatch):
    def uninitialized(*shape, **options):
        return torch.full(shape if isinstance(shape[0], int) else shape[0], float("nan"), **options)

    monkeypatch.setattr(torch, "empty", uninitialized)
    first, second = make().state_dict(), make().state_dict()
    for name, weight in first.items():
        assert torch.isfinite(weight).all() and torch.equal(weight, second[name]), name


# -- what it reads


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_bits_are_those_of_the_machine(numbers):
    values = torch.tensor(numbers, dtype=torch.float32)
    expected = [f"{struct.unpack('>I', struct.pack('>f', v))[0]:032b}" for v in numbers]
    found = ["".join("1" if b > 0 else "0" for b in row) for row in bits_of(values, 32)]
    assert found == expected


@given(st.lists(st.floats(-6e4, 6e4, width=16), min_size=1, max_size=20))
def test_half_precision_bits(numbers):
    expected = [f"{np.array(v, np.float16).view(np.uint16):016b}" for v in numbers]
    found = ["".join("1" if b > 0 else "0" for b in row) for row in bits_of(torch.tensor(numbers), 16)]
    assert found == expected


@given(st.integers(0, 100), st.lists(st.integers(-300, 300), min_size=5, max_size=5))
@settings(max_examples=30, deadline=None)
def test_a_change_of_units_by_powers_of_two_is_divided_out(seed, powers):
    inputs, response, rows, columns = tables(seed=seed)
    factor = torch.ldexp(torch.ones(5, dtype=torch.float64), torch.tensor(powers))
    plain = prepare(inputs, response, rows, columns)
    scaled = prepare(inputs * factor[:4], response * factor[4], rows, columns)
    assert torch.equal(plain.values, scaled.values)
    assert torch.equal(plain.order, scaled.order)
    moved = torch.cat([torch.tensor(powers)[:4][plain.order], torch.full((3, 1), powers[4])], dim=1)
    assert torch.equal(scaled.exponents - plain.exponents, moved.float())


def test_prepared_numbers_are_near_one_and_exact():
    prepared = prepare(*tables())
    assert prepared.values.abs().log2().mean().abs() < 0.6
    inputs, response, *_ = tables()
    back = torch.ldexp(prepared.values.double(), prepared.exponents[:, None].double())
    original = torch.cat(
        [inputs.gather(2, prepared.order[:, None].expand(-1, 20, -1)), response[..., None]], 2
    )
    torch.testing.assert_close(back, original, rtol=1e-7, atol=0)


def test_columns_are_sorted_by_relevance_and_tokens_follow():
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.normal(size=(1, 50, 3)))
    response = inputs[..., 2] * 10 + inputs[..., 0]
    every = torch.ones(1, 50, dtype=torch.bool)
    prepared = prepare(inputs, response, every, torch.tensor([[True, False, True]]))
    assert prepared.order.tolist() == [[2, 0, 1]]
    assert prepared.columns.tolist() == [[True, True, False]]
    tokens = torch.tensor([[2, 10, 12, 1, 0]])  # columns are tokens from 10 on
    assert prepared.rename(tokens, 10).tolist() == [[2, 11, 10, 1, 0]]


# -- what it must not notice


@pytest.mark.parametrize("count", [20, 32, 100])
def test_the_order_of_rows_is_not_noticed(count):
    model = make()
    inputs, response, rows, columns = tables(rows=count)
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(1))
    one = model.encode(model.prepare(inputs, response, rows, columns))
    other = model.encode(model.prepare(inputs[:, shuffled], response[:, shuffled], rows, columns))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("garbage", [0.0, 1e9, -3.0])
def test_padding_is_not_noticed(garbage):
    model = make()
    inputs, _, rows, columns = tables(columns=2)
    plain = model.encode(model.prepare(inputs, inputs[..., 0] ** 2, rows, columns))
    padded = torch.full((3, 31, 4), garbage, dtype=torch.float64)
    target, real = torch.full((3, 31), garbage, dtype=torch.float64), torch.zeros(3, 31, dtype=torch.bool)
    padded[:, :20, :2], target[:, :20], real[:, :20] = inputs, inputs[..., 0] ** 2, True
    present = torch.tensor([[True, True, False, False]]).expand(3, -1)
    torch.testing.assert_close(
        plain, model.encode(model.prepare(padded, target, real, present)), rtol=1e-4, atol=1e-5
    )


def test_a_long_and_a_short_table_side_by_side_are_as_if_alone():
    model = make()
    inputs, response, rows, columns = tables(2, rows=90)
    rows[1, 20:] = False
    both = model.encode(model.prepare(inputs, response, rows, columns))
    for k, count in enumerate((90, 20)):
        alone = model.prepare(
            inputs[k : k + 1, :count], response[k : k + 1, :count], rows[k : k + 1, :count], columns[:1]
        )
        torch.testing.assert_close(both[k : k + 1], model.encode(alone), rtol=1e-4, atol=1e-5)


def test_a_masked_row_sends_no_gradient():
    model = make()
    prepared = model.prepare(*tables())
    prepared.rows[:, 5] = False
    values = prepared.values.clone().requires_grad_()
    smooth = model.bits.mix(values.repeat(1, 1, model.config.channels))
    model.encoder(smooth, prepared.rows, torch.zeros(3, 6), torch.zeros(3, 2 * 16 * 4 + 18)).sum().backward()
    assert values.grad is not None
    assert not values.grad[:, 5].any()
    assert values.grad[:, 4].any()


def test_written_out_attention_is_the_fused_one():
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 8, generator=g) for n in (5, 7, 7))
    mask = torch.rand(2, 1, 1, 7, generator=g) > 0.3
    with torch.no_grad():
        fused = attend(q, k, v, mask)
    torch.testing.assert_close(attend(q, k, v, mask), fused, rtol=1e-5, atol=1e-6)


# -- decoding


def some_policy(model=None, variables=("a", "b", "c"), value=True):
    model = model or make()
    model.value_trained = value
    rng = np.random.default_rng(3)
    X = rng.normal(size=(40, len(variables)))
    return Policy(model, encode_table(model, X, X[:, 0] + X[:, -1] ** 2), Vocabulary(variables))


def test_cached_decoding_equals_uncached():
    policy = some_policy()
    tokens = np.random.default_rng(0).integers(1, policy.vocabulary.size, (6, 9))
    whole = policy(tokens, None)
    step = policy(tokens[:, :0], None)
    for t in range(9):
        step = policy(tokens[:, t : t + 1], step.state)
    np.testing.assert_allclose(step.logits, whole.logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(step.value, whole.value, rtol=1e-4, atol=1e-5)


def test_several_tokens_at_once_and_selected_rows():
    policy = some_policy()
    tokens = np.random.default_rng(1).integers(1, policy.vocabulary.size, (5, 8))
    rows = np.array([4, 0, 0, 2])
    state = policy(tokens[:, :3], None).state.select(rows)
    np.testing.assert_allclose(
        policy(tokens[rows, 3:], state).logits, policy(tokens[rows], None).logits, rtol=1e-4, atol=1e-4
    )


def test_padded_prefixes_answer_for_their_last_token():
    policy = some_policy()
    tokens = np.random.default_rng(2).integers(1, policy.vocabulary.size, (4, 7))
    padded = tokens.copy()
    for row, length in enumerate((7, 3, 0, 5)):
        padded[row, length:] = PAD
    found = policy(padded, None)
    for row, length in enumerate((7, 3, 0, 5)):
        alone = policy(tokens[row : row + 1, :length], None)
        np.testing.assert_allclose(found.logits[row], alone.logits[0], rtol=1e-4, atol=1e-4)


def test_a_value_head_that_has_not_learned_is_not_asked():
    for value in (True, False):
        assert (some_policy(value=value)(np.empty((1, 0), np.int64), None).value is not None) == value


def test_forward_is_what_the_policy_says():
    model = make()
    model.value_trained = True
    X = np.random.default_rng(3).normal(size=(40, 4))
    encoding = encode_table(model, X, X.sum(axis=1))
    names = [f"x{i}" for i in range(4)]
    for place, column in enumerate(encoding.order):
        names[column] = f"x{place + 1}"
    policy = Policy(model, encoding, Vocabulary(tuple(names), TINY.operators))
    tokens = np.array([[2, 8, 9]])
    step = policy(tokens, None)
    renamed = torch.tensor([[2, *(model.vocabulary.id(names[t - 8]) for t in (8, 9))]])
    with torch.no_grad():
        logits, value = model(encoding.memory[None], renamed, torch.tensor([0]))
    back = [0, 1, *range(2, 8), *(model.vocabulary.id(n) for n in names)]
    np.testing.assert_allclose(step.logits[0, 1:], logits[0, -1].numpy()[back][1:], rtol=1e-4, atol=1e-4)
    assert step.value == pytest.approx(model.value(value[0, -1:]).numpy(), rel=1e-4)


def test_tokens_the_network_does_not_know_are_last_but_possible():
    policy = some_policy(variables=("a", "b", "c", "d", "e", "f"))
    left_out = [i for i in range(6) if not policy.knows[policy.vocabulary.variable(i)]]
    assert len(left_out) == 2
    logits = policy(np.zeros((1, 0), int), None).logits[0]
    assert np.isfinite(logits).all()
    assert logits[~policy.knows].max() < logits[policy.knows].min()
    assert not policy.knows[policy.vocabulary.id("exp")]
    assert policy.knows[CONST]


def test_the_complexity_asked_for_changes_the_answer():
    model = make()
    X = np.random.default_rng(3).normal(size=(40, 2))
    encoding = encode_table(model, X, X[:, 0])
    vocabulary = Vocabulary(("a", "b"))
    answers = [Policy(model, encoding, vocabulary, c)(np.zeros((1, 0), int), None).logits for c in (0, 5, 30)]
    assert not np.allclose(answers[0], answers[1])
    assert not np.allclose(answers[1], answers[2])


def test_a_long_table_is_thinned_and_too_wide_a_one_refused_by_the_network_itself():
    model = make()
    X = np.random.default_rng(3).normal(size=(5000, 4))
    assert encode_table(model, X, X[:, 0]).memory.shape == (10, 32)
    with pytest.raises(UsageError, match=r"5 columns.*knows 4"):
        model.prepare(*tables(columns=5))


# -- the value head


@given(st.floats(0, 1), st.integers(8, 64))
def test_hl_gauss_keeps_the_reward(reward, bins):
    target = hl_gauss(torch.tensor([reward]), bins)
    assert target.sum().item() == pytest.approx(1, abs=1e-5)
    centres = (torch.arange(bins) + 0.5) / bins
    assert (target * centres).sum().item() == pytest.approx(reward, abs=1.2 / bins)


def test_the_value_loss_leaves_the_rest_of_the_network_alone():
    model = make().train()
    tokens = torch.randint(1, 12, (3, 5), generator=torch.Generator().manual_seed(0))
    _, value = model(model.encode(model.prepare(*tables())), tokens, torch.zeros(3, dtype=torch.long))
    value.sum().backward()
    touched = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert touched
    assert all(name.startswith("judge.") for name in touched)


# -- learning


def test_it_memorises_32_instances():
    torch.manual_seed(0)
    model = Model(TINY)
    inputs, _, rows, columns = tables(32, seed=5)
    g = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, model.vocabulary.size, (32, 6), generator=g)
    response = inputs[..., 0] * torch.randn(32, 1, generator=g).double()
    prepared = model.prepare(inputs, response, rows, columns)
    told = torch.zeros(32, dtype=torch.long)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss = torch.tensor(9.0)
    for _ in range(250):
        logits, _ = model(model.encode(prepared), tokens, told)
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [({"heads": 5}, "does not split"), ({"bits": 64}, "16 or 32")],
)
def test_impossible_shapes_are_refused(change, message):
    with pytest.raises(UsageError, match=message):
        ModelConfig(**change)


def test_encoding_is_a_plain_noun():
    encoding = Encoding(torch.zeros(2, 3), (0,))
    assert encoding.left_out == ()


def test_attention_over_rows_is_what_the_seeds_look_with():
    model = make()
    inputs, response, rows, columns = tables()
    rows[1, 15:] = False
    prepared = model.prepare(inputs, response, rows, columns)
    weights = attention_over_rows(model, prepared)
    assert weights.shape == (3, TINY.heads, TINY.seeds, 20)
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:3]))
    assert not weights[1, :, :, 15:].any()

    pool = model.encoder.pool
    with torch.inference_mode():
        seeds = model.encoder.seeds.expand(3, -1, -1)
        read = pool.memory_norm(model.encoder.read(model.bits(prepared), rows))
        _, values = pool.attention.keys_values(read)
        torch.testing.assert_close(
            pool.attention.finish(seeds, weights @ values), pool.attention(seeds, read, rows)
        )

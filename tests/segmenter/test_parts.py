"""Networks that see a part of a batch: they do what they would do with the whole."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from thread_teams import together
from torch import Tensor, nn

from vesselforge.engine.torchrun.ranks import Team
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.dropblock import DropBlock
from vesselforge.segmenter.networks.parts import Part, PartDropBlock, PartStochasticDepth, spread
from vesselforge.segmenter.networks.stochastic_depth import StochasticDepth
from vesselforge.segmenter.networks.sync_batch_norm import SyncBatchNorm2d
from vesselforge.segmenter.training.losses import training_loss


def norms(momentum: float | None = 0.01) -> nn.BatchNorm2d:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(5, eps=1e-3, momentum=momentum)
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    return norm


def shaped(*shape: int, channels_last: bool = True) -> Tensor:
    x = 3 * torch.randn(shape) + 10
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x


@pytest.mark.parametrize(
    ("rows", "size", "side", "channels_last"),
    [(4, 2, 9, True), (5, 3, 6, False), (2, 2, 1, True), (3, 2, 1, False)],
)
@pytest.mark.parametrize("momentum", [0.01, None])
def test_batch_norm_of_parts_is_batch_norm_of_the_batch(
    rows: int, size: int, side: int, channels_last: bool, momentum: float | None
) -> None:
    """Also where a part has one value a channel: the batch has more."""
    plain = norms(momentum)
    batches = [shaped(rows, 5, side, side, channels_last=channels_last) for _ in range(2)]
    slopes = torch.randn(rows, 5, side, side)

    def act(team: Team) -> tuple[Tensor, ...]:
        part, norm = Part(team), SyncBatchNorm2d(copy.deepcopy(plain), team)
        for batch in batches:
            norm.zero_grad()
            x = part.cut(batch).clone().requires_grad_()
            y = norm(x)
            (y * part.cut(slopes)).sum().backward()
        found = y, x.grad, norm.weight.grad, norm.bias.grad
        return *(tensor.detach() for tensor in found), norm.running_mean, norm.running_var, norm

    parts = together(size, act)
    for batch in batches:
        plain.zero_grad()
        x = batch.clone().requires_grad_()
        y = plain(x)
        (y * slopes).sum().backward()
    near = {"rtol": 1e-4, "atol": 2e-5}  # as PyTorch's own sums in float32
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), y.detach(), **near)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), x.grad, **near)
    for index, expected in ((2, plain.weight.grad), (3, plain.bias.grad)):
        torch.testing.assert_close(sum(part[index] for part in parts), expected, **near)
    for *_, mean, var, norm in parts:
        torch.testing.assert_close(mean, plain.running_mean, **near)
        torch.testing.assert_close(var, plain.running_var, **near)
        assert norm.state_dict().keys() == plain.state_dict().keys()
        assert norm.num_batches_tracked == 2
        judged = norms().eval()
        judged.load_state_dict(norm.state_dict())
        assert torch.equal(norm.eval()(x), judged(x))
    assert torch.equal(parts[0][4], parts[1][4]) and torch.equal(parts[0][5], parts[1][5])


def test_batch_norm_in_bfloat16_keeps_its_statistics_in_float32() -> None:
    batch, plain = shaped(4, 5, 8, 8), norms(1.0)

    def act(team: Team) -> tuple[Tensor, Tensor]:
        norm, part = SyncBatchNorm2d(copy.deepcopy(plain), team), Part(team)
        x = part.cut(batch).bfloat16().requires_grad_()
        y = norm(x)
        y.float().square().sum().backward()
        assert y.dtype == x.grad.dtype == torch.bfloat16
        return y.detach(), norm.running_mean

    (one, mean), (two, _) = together(2, act)
    expected = plain(batch.bfloat16())
    torch.testing.assert_close(torch.cat([one, two]), expected, rtol=0.02, atol=0.05)
    torch.testing.assert_close(mean, plain.running_mean, rtol=1e-5, atol=1e-5)


def test_batch_norm_passes_a_numerical_check_of_its_gradient() -> None:
    """Of the sum over two parts, against differences of the loss."""
    norm, batch, slopes = norms(), shaped(2, 5, 2, 2), torch.randn(2, 5, 2, 2)

    def act(team: Team) -> tuple[Tensor, Tensor]:
        x = Part(team).cut(batch).clone().requires_grad_()
        y = SyncBatchNorm2d(copy.deepcopy(norm), team)(x)
        value = (y**2 * Part(team).cut(slopes)).sum()
        value.backward()
        return value.detach(), x.grad

    (_, gradient), _ = together(2, act)
    changes = []
    for sign in (1, -1):
        batch[0, 3, 1, 0] += sign * 0.05
        changes.append(sum(value for value, _ in together(2, act)))
        batch[0, 3, 1, 0] -= sign * 0.05
    assert float(gradient[0, 3, 1, 0]) == pytest.approx(float(changes[0] - changes[1]) / 0.1, 0.02)


CASES = [
    ("sa-unet", {"width": 8, "drop": 0.0}, "bce", 0.0, [1.0], 2e-5),
    ("backbone", {"width": 8, "drop": 0.0}, "bce-dice", 0.3, [1.0], 2e-5),
    ("sa-unet-v2", {"width": 8, "drop": 0.0}, "bce-mcc", 0.0, [1.0], 2e-5),
    ("unet-18", {"width": 8}, "structure", 0.0, [1.0], 2e-5),
    # In float32 its gradients are off by 1.4e-4 of the largest in one process, too.
    ("sa2-net", {"width": 4}, "balanced-bce-dice", 0.3, [1.0, 0.5, 0.2, 0.1], 2e-3),
]


@pytest.mark.parametrize(("name", "options", "loss", "cldice", "heads", "off"), CASES)
def test_a_networks_gradients_are_those_of_the_batch(
    name: str, options: dict[str, Any], loss: str, cldice: float, heads: list[float], off: float
) -> None:
    torch.manual_seed(0)
    network = build(name, **options).train()
    images, target = torch.rand(3, 3, 32, 32), torch.rand(3, 1, 32, 32).round()
    weight = torch.rand(target.shape)

    def act(team: Team) -> tuple[Tensor, nn.Module]:
        part, own = Part(team), copy.deepcopy(network)
        spread(own, part)
        outputs = own.outputs(part.cut(images), every=len(heads) > 1)
        outputs = [part.whole(logits) for logits in outputs]
        value = training_loss(outputs, target, loss, heads, cldice, weight)
        value.backward()
        team.total_each([p.grad for p in own.parameters() if p.grad is not None])
        return value.detach(), own

    parts = together(2, act)
    [(expected, whole)] = together(1, act)
    assert type(whole) is type(network)
    largest = max(float(p.grad.norm()) for p in whole.parameters() if p.grad is not None)
    for value, own in parts:
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)
        assert own.state_dict().keys() == network.state_dict().keys()
        for (key, ours), one in zip(own.named_parameters(), whole.parameters(), strict=True):
            assert (ours.grad is None) == (one.grad is None), key
            if one.grad is not None:
                assert float((ours.grad - one.grad).norm()) < off * largest, key


class Told(Team):
    """Is told the sum, and remembers what it gave."""

    def __init__(self, rank: int, size: int, answer: Tensor) -> None:
        super().__init__(rank, size)
        self.answer, self.given = answer, torch.zeros(())

    def total(self, values: Tensor) -> Tensor:
        self.given = values.clone()
        return self.answer


@pytest.mark.parametrize(("images", "size"), [(4, 2), (5, 3)])
def test_dropblock_of_parts_drops_what_it_drops_of_the_batch(images: int, size: int) -> None:
    x = 1 + torch.rand(images, 6, 12, 12)
    plain = DropBlock(0.3, block=3).train()
    torch.manual_seed(1)
    expected = plain(x)
    kept, rows = (expected != 0).sum().float(), []
    for rank in range(size):
        part = Part(Told(rank, size, kept))
        own = PartDropBlock(plain, part)
        torch.manual_seed(1)
        found = own(part.cut(x))
        rows.append(part.team.given)
        torch.testing.assert_close(found, expected[part.rows])
        assert torch.equal(torch.rand(3), _after(plain, x))  # the stream goes on as in one process
    assert sum(rows) == kept


def _after(layer: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(1)
    layer(x)
    return torch.rand(3)


def test_stochastic_depth_of_parts_is_that_of_the_batch() -> None:
    x = torch.randn(5, 7, 3)
    plain = StochasticDepth(0.4).train()
    torch.manual_seed(2)
    expected = plain(x)
    assert 0 < (expected == 0).all(dim=(1, 2)).sum() < 5
    for rank in (0, 1):
        part = Part(Team(rank, 2))
        torch.manual_seed(2)
        assert torch.equal(PartStochasticDepth(plain, part)(part.cut(x)), expected[part.rows])
    assert torch.equal(PartStochasticDepth(plain, Part(Team())).eval()(x), x)


def test_rows_are_dealt_evenly_and_once() -> None:
    for total in range(3, 12):
        parts = [Part(Team(rank, 3)) for rank in range(3)]
        rows = [part.cut(torch.arange(total)).tolist() for part in parts]
        assert [row for some in rows for row in some] == list(range(total))
        assert max(map(len, rows)) - min(map(len, rows)) <= 1 and min(map(len, rows)) >= 1


def test_what_cannot_do_a_part_of_a_batch_is_not_let_through() -> None:
    for layer in (nn.Dropout(0.1), nn.BatchNorm1d(3)):
        with pytest.raises(NotImplementedError, match="of a part of a batch"):
            spread(nn.Sequential(layer), Part(Team(0, 2)))
    spread(nn.Sequential(nn.Dropout(0.0), nn.GroupNorm(1, 3)), Part(Team(0, 2)))

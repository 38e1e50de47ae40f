"""Train the judge.

Pictures are shown as they are and coarse, as a small VAE gives them back, noisy, the icons
turned, scaled and in other colors, so that what it learns is the shape. The icons' own subjects
count where the generator knows them.
"""

from pathlib import Path

import numpy as np
import torch
from clock import Average, Clock, Log
from pictures import SIZE, Bank
from torch import Tensor
from torch.nn import functional

from bioicons_kit.drawings import generate
from bioicons_kit.evaluate import judge
from bioicons_kit.icons import raster
from bioicons_kit.icons.words.wording import clean_name

_PEAK, _DECAY = 2e-3, 0.998
_RECOLORED = 0.5  # share of the icons
_ICON, _OTHER = judge.STYLES.index(judge.ICON), judge.STYLES.index(judge.OTHER)
_SHARES = {"plain": 0.5, "flat": 0.12, "icons": 0.24, "abstract": 0.07, "noise": 0.07}


def icons(root: Path, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the shipped icons `[icons, 3, SIZE, SIZE]` in -1..1, and their subjects or -1."""
    pictures, subjects = [], []
    for path in sorted(root.glob("**/*.svg")):
        picture = raster.picture(path.read_bytes(), SIZE, "#ffffff", 0.04, raster.choose("resvg"))
        pictures.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1)
        name = clean_name(path.stem)
        subjects.append(generate.NAMES.index(name) if name in generate.NAMES else -1)
    return torch.stack(pictures).to(device), torch.tensor(subjects, device=device)


def moved(pictures: Tensor, most_turn: float = 0.2) -> Tensor:
    """Return pictures turned, scaled, shifted and mirrored by chance, on their own ground."""
    count, device = len(pictures), pictures.device

    def spread(most: float) -> Tensor:
        return (torch.rand(count, device=device) * 2 - 1) * most

    turn, size, stretch = spread(most_turn), 1.08 + spread(0.2), 1 + spread(0.1)
    mirror = torch.where(torch.rand(count, device=device) < 0.5, -1.0, 1.0)
    cos, sin = turn.cos() * size, turn.sin() * size
    rows = torch.stack(
        [
            torch.stack([cos * mirror * stretch, -sin, spread(0.08)], 1),
            torch.stack([sin * mirror * stretch, cos, spread(0.08)], 1),
        ],
        1,
    )
    grid = functional.affine_grid(rows, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def recolored(pictures: Tensor) -> Tensor:
    """Return pictures whose colors are mixed by chance; white and grays stay what they are."""
    count, device = len(pictures), pictures.device
    gray = pictures.mean(1, keepdim=True)
    mix = torch.rand(count, 3, 3, device=device) + 0.05
    mix = mix / mix.sum(2, keepdim=True)
    changed = torch.einsum("nij,njhw->nihw", mix * 1.8 - 0.8 / 3, pictures)
    return torch.where(torch.rand(count, 1, 1, 1, device=device) < 0.9, changed, gray).clamp(-1, 1)


def softened(pictures: Tensor) -> Tensor:
    """Return pictures as a small VAE gives them back: coarse in places, with coarse noise."""
    side = int(torch.randint(40, SIZE, ()))
    coarse = functional.interpolate(pictures, (side, side), mode="area")
    amount = torch.rand(len(coarse), 1, 1, 1, device=coarse.device) * 0.25
    coarse = coarse + amount * torch.randn_like(coarse)
    return functional.interpolate(coarse, pictures.shape[-2:], mode="bilinear").clamp(-1, 1)


def junk(count: int, device: torch.device) -> Tensor:
    """Return noise at several scales: what a model draws that has learned nothing."""
    scale = int(torch.randint(3, SIZE + 1, ()))
    noise = torch.randn(count, 3, scale, scale, device=device)
    noise = functional.interpolate(noise, (SIZE, SIZE), mode="bilinear")
    level = torch.rand(count, 1, 1, 1, device=device) * 2 - 1
    return (noise * torch.rand(count, 1, 1, 1, device=device) + level).clamp(-1, 1)


def train(
    banks: dict[str, Bank], shipped: Path, clock: Clock, log: Log, batch: int
) -> judge.Network:
    """Return the judge, trained until the clock has run down."""
    device = banks["plain"].pixels.device
    network = judge.Network().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_PEAK, weight_decay=0.02)
    average = Average([network], _DECAY)
    given, given_subjects = icons(shipped, device)
    counts = {kind: max(2, int(batch * share)) for kind, share in _SHARES.items()}
    right: list[Tensor] = []
    while clock.passed() < 1:
        for group in optimizer.param_groups:
            group["lr"] = clock.rate(_PEAK)
        parts, subjects, styles = [], [], []
        for kind in ("plain", "flat", "abstract"):
            bank = banks[kind]
            at = bank.pick(counts[kind])
            shown = bank.floats(at)
            parts.append(moved(shown, 0.15) if kind == "flat" else shown)
            subjects.append(bank.subjects[at])
            styles.append(
                bank.styles[at]
                if kind == "plain"
                else torch.full_like(at, _ICON if kind == "flat" else _OTHER)
            )
        at = torch.randint(len(given), (counts["icons"],), device=device)
        shown = moved(given[at])
        some = torch.rand(len(shown), 1, 1, 1, device=device) < _RECOLORED
        parts.append(torch.where(some, recolored(shown), shown))
        subjects.append(given_subjects[at])
        styles.append(torch.full_like(at, _ICON))
        parts.append(junk(counts["noise"], device))
        subjects.append(torch.full((counts["noise"],), -1, device=device))
        styles.append(torch.full((counts["noise"],), _OTHER, device=device))
        pictures, subject, style = torch.cat(parts), torch.cat(subjects), torch.cat(styles)
        again = torch.randperm(len(pictures), device=device)[: len(pictures) // 3]
        pictures[again] = softened(pictures[again])
        amount = (torch.rand(len(pictures), 1, 1, 1, device=device) * 0.12 - 0.06).clamp_min(0)
        pictures = (pictures + amount * torch.randn_like(pictures)).clamp(-1, 1)  # half stay clean
        which, how = network(pictures)
        loss = functional.cross_entropy(which, subject, ignore_index=-1)
        loss = loss + functional.cross_entropy(how, style)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        average.update()
        right.append((which.argmax(1) == subject)[subject >= 0].float().mean())
        clock.steps += 1
        if clock.steps % 100 == 0:
            log("judge", step=clock.steps, loss=loss, right=torch.stack(right[-100:]).mean())
    average.put()
    network.eval()
    log("judge", step=clock.steps, done=True, **held(network, banks["held"]))
    return network


@torch.no_grad()
def held(network: judge.Network, bank: Bank) -> dict[str, float]:
    """Return the judge's accuracy on drawings that nothing was trained on."""
    answers = [network(part) for part in bank.floats(slice(None)).split(200)]
    subject = torch.cat([each[0] for each in answers]).argmax(1)
    style = torch.cat([each[1] for each in answers]).argmax(1)
    return {
        "held": bank.count,
        "subject": float((subject == bank.subjects[: bank.count]).float().mean()),
        "style": float((style == bank.styles[: bank.count]).float().mean()),
    }

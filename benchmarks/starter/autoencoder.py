"""Train the VAE: every picture through 12 x 12 x 16 numbers and back.

The loss is the squared error of the pixels and of their differences at first: absolute errors,
which make lines sharp, are content with white paper for long, and come in later. With them a
little of the usual divergence, and a pull of each channel to mean 0 and deviation 1, so that the
latents come out at the scale FLUX's have; the decoder sees latents with noise on them, as it will
when a denoiser made them.

Most of the time goes to quarters of pictures, which are as good to learn lines from and cost a
fourth; at the end come whole ones, whose statistics the normalizations will see in earnest.
Nothing is compiled: on a processor torch 2.13 made of it something that did not learn.
"""

import math

import torch
from clock import Clock, Log
from pictures import SIZE, Bank
from torch import Tensor
from updates import Updates

_PEAK, _DECAY, _WARMUP = 6e-3, 0.998, 50
_DIVERGENCE, _SCALE, _EDGES = 2e-4, 0.02, 0.5
_NOISE = 0.35  # most deviation of the noise on latents of deviation 1
_CROP = SIZE // 2  # pixels
_SHARP_FROM, _WHOLE_FROM = 0.55, 0.8  # share of the time, of absolute errors and whole pictures


def train(vae: torch.nn.Module, banks: dict[str, Bank], clock: Clock, log: Log, batch: int) -> None:
    """Train until the clock has run down; the averaged weights stay, folded to FLUX's scale."""
    vae.to(memory_format=torch.channels_last)
    updates = Updates(vae, is_matrix, _PEAK, _DECAY, _WARMUP)
    kinds = [banks["plain"], banks["plain"], banks["flat"], banks["abstract"]]
    while (passed := clock.passed()) < 1:
        whole = passed > _WHOLE_FROM
        parts = [bank.floats(bank.pick(batch // (8 if whole else 4))) for bank in kinds]
        pictures = torch.cat(parts) if whole else cropped(torch.cat(parts))
        losses = errors(vae, pictures.contiguous(memory_format=torch.channels_last))
        sharp = min(1.0, max(0.0, (passed - _SHARP_FROM) / 0.1))
        loss = _DIVERGENCE * losses["divergence"] + _SCALE * losses["scale"]
        loss = loss + (1 - sharp) * (losses["square"] + _EDGES * losses["edge_square"])
        if sharp:
            loss = loss + sharp * (losses["pixel"] + _EDGES * losses["edge"])
        updates.step(loss, 0.01 + 0.99 * (1 + math.cos(math.pi * passed)) / 2)
        if clock.steps % 100 == 0:
            log("vae", step=clock.steps, **losses)
        clock.steps += 1
    updates.put(updates.averages)
    fold(vae)
    log("vae", step=clock.steps, done=True, held=held_error(vae, banks["held"]))


def is_matrix(name: str) -> bool:
    """Tell whether Muon is to update a weight: all but what meets the pixels."""
    return name not in {"encoder.conv_in.weight", "decoder.conv_out.weight"}


def errors(vae: torch.nn.Module, pictures: Tensor) -> dict[str, Tensor]:
    """Return the parts of the loss on pictures in -1..1."""
    device = pictures.device
    with torch.autocast(device.type, torch.bfloat16):
        mean, logvar = vae.encoder(pictures).float().chunk(2, 1)
        logvar = logvar.clamp(-30, 20)
        amount = _NOISE * torch.rand(len(pictures), 1, 1, 1, device=device)
        latents = mean + (logvar / 2).exp() * torch.randn_like(mean)
        back = vae.decoder(latents + amount * torch.randn_like(mean)).float()
    wrong, spread = back - pictures, mean.var((0, 2, 3)).sqrt()
    across, down = wrong[..., 1:] - wrong[..., :-1], wrong[..., 1:, :] - wrong[..., :-1, :]
    return {
        "square": wrong.square().mean(),
        "edge_square": across.square().mean() + down.square().mean(),
        "pixel": wrong.abs().mean(),
        "edge": across.abs().mean() + down.abs().mean(),
        "divergence": (mean.square() + logvar.exp() - 1 - logvar).mean() / 2,
        "scale": mean.mean((0, 2, 3)).square().mean() + (spread - 1).square().mean(),
    }


def cropped(pictures: Tensor) -> Tensor:
    """Return a quarter of each picture, from anywhere in it."""
    corners = torch.randint(0, SIZE - _CROP + 1, (len(pictures), 2)).tolist()
    parts = [
        picture[:, y : y + _CROP, x : x + _CROP]
        for picture, (y, x) in zip(pictures, corners, strict=True)
    ]
    return torch.stack(parts)


@torch.no_grad()
def fold(vae: torch.nn.Module) -> None:
    """Scale the latents from deviation 1 to that of FLUX's VAE, 1 / 0.3611, nothing else."""
    factor = 1 / vae.config.scaling_factor
    channels = vae.config.latent_channels
    out = vae.encoder.conv_out
    out.weight[:channels] *= factor
    out.bias[:channels] *= factor
    out.bias[channels:] += 2 * torch.log(torch.tensor(factor))
    vae.decoder.conv_in.weight /= factor


@torch.no_grad()
def held_error(vae: torch.nn.Module, bank: Bank) -> float:
    """Return the mean absolute error, of 0..1, on drawings that were not trained on."""
    pictures = bank.floats(slice(0, 200))
    back = torch.cat([vae(part).sample.clamp(-1, 1) for part in pictures.split(50)])
    return float((back - pictures).abs().mean() / 2)


@torch.no_grad()
def encode(vae: torch.nn.Module, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and logvar, half precision, of pictures as bytes."""
    device = next(vae.parameters()).device
    vae.to(memory_format=torch.channels_last)
    means, logvars = [], []
    for part in pictures.split(200):
        floats = (part.to(device).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            posterior = vae.encode(floats).latent_dist
        means.append(posterior.mean.half())
        logvars.append(posterior.logvar.half())
    return torch.cat(means), torch.cat(logvars)

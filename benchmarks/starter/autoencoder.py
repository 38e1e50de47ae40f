"""Train the VAE: every picture through 12 x 12 x 16 numbers and back.

The loss is the absolute error of the pixels and of their differences (lines stay sharp), a
little of the usual divergence, and a pull of each channel to mean 0 and deviation 1, so that the
latents come out at the scale FLUX's have; the decoder sees latents with noise on them, as it
will when a denoiser made them.
"""

import torch
from clock import Average, Clock, Log
from pictures import Studio
from torch import Tensor

_BATCH, _PEAK, _DECAY = 192, 1.2e-3, 0.998
_DIVERGENCE, _SCALE, _EDGES = 2e-4, 0.02, 0.7
_NOISE = 0.25  # most deviation of the noise on latents of deviation 1


def train(
    vae: torch.nn.Module, studio: Studio, clock: Clock, log: Log, batch: int = _BATCH
) -> None:
    """Train until the clock has run down; the averaged weights stay, folded to FLUX's scale."""
    device = next(vae.parameters()).device
    vae.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        vae.parameters(), lr=_PEAK, betas=(0.9, 0.99), weight_decay=0.0, fused=device.type == "cuda"
    )
    average = Average([vae], _DECAY)
    plain, abstract = studio.banks["plain"], studio.banks["abstract"]
    while clock.passed() < 1:
        if clock.steps % 10 == 0:
            studio.poll()
        for group in optimizer.param_groups:
            group["lr"] = clock.rate(_PEAK)
        quarter = batch // 4
        pictures = torch.cat(
            [plain.floats(plain.pick(batch - quarter)), abstract.floats(abstract.pick(quarter))]
        ).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, device.type == "cuda"):
            mean, logvar = vae.encoder(pictures).float().chunk(2, 1)
            logvar = logvar.clamp(-30, 20)
            amount = _NOISE * torch.rand(batch, 1, 1, 1, device=device)
            latents = mean + (logvar / 2).exp() * torch.randn_like(mean)
            back = vae.decoder(latents + amount * torch.randn_like(mean)).float()
        pixel, edge = (back - pictures).abs().mean(), edges(back - pictures)
        divergence = (mean.square() + logvar.exp() - 1 - logvar).mean() / 2
        scale = mean.mean((0, 2, 3)).square().mean()
        scale = scale + (mean.var((0, 2, 3)).sqrt() - 1).square().mean()
        loss = pixel + _EDGES * edge + _DIVERGENCE * divergence + _SCALE * scale
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update()
        if clock.steps % 100 == 0:
            log(
                "vae",
                step=clock.steps,
                pixel=pixel,
                edge=edge,
                divergence=divergence,
                scale=scale,
                drawn=plain.count,
            )
        clock.steps += 1
    average.put()
    fold(vae)
    log("vae", step=clock.steps, done=True, held=held_error(vae, studio, batch // 4))


def edges(difference: Tensor) -> Tensor:
    """Return the mean absolute difference between neighbors."""
    across = (difference[..., 1:] - difference[..., :-1]).abs().mean()
    return across + (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()


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
def held_error(vae: torch.nn.Module, studio: Studio, batch: int) -> float:
    """Return the mean absolute error, of 0..1, on drawings that were not trained on."""
    bank = studio.banks["held"]
    pictures = bank.floats(slice(0, min(bank.count, 8 * batch)))
    back = torch.cat([vae(part).sample.clamp(-1, 1) for part in pictures.split(batch)])
    return float((back - pictures).abs().mean() / 2)


@torch.no_grad()
def encode(vae: torch.nn.Module, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and logvar, half precision, of pictures as bytes."""
    device = next(vae.parameters()).device
    means, logvars = [], []
    for part in pictures.split(500):
        with torch.autocast(device.type, torch.bfloat16, device.type == "cuda"):
            posterior = vae.encode(part.float() / 127.5 - 1).latent_dist
        means.append(posterior.mean.half())
        logvars.append(posterior.logvar.half())
    return torch.cat(means), torch.cat(logvars)

"""Train the denoiser and the text encoders together, then distill guidance into the denoiser.

First the plain objective of rectified flow, with captions left out now and then, so that the
model also knows what drawings look like without one. Then, as FLUX.1-dev was made: a copy learns
to give at once what classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598) gives in two
calls, for the strength that its guidance embedding says (Meng et al. 2023, arXiv:2210.03142).
"""

import copy
import itertools
import random
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from clock import Average, Clock, Log
from pictures import Bank
from torch import Tensor, nn

from bioicons_kit.drawings import generate
from bioicons_kit.families import flow, flux

TOKENS, CLIP_TOKENS = 32, 32
_OTHER_TOKENS = (16, 24, 48, 64)
_OTHER_SHARE = 0.08  # of the steps, with another number of T5 tokens
_CAPTIONS = 24  # for each pair of subject and style
_WITHOUT = 0.12  # share of captions left out
_PEAK, _DISTILL_PEAK, _DECAY = 1e-3, 3e-4, 0.999
_GUIDANCE = (1.0, 5.0)
# A guidance of g is classifier-free guidance of 1 + 0.7 (g - 1): FLUX's usual 3.5 is 2.75.
_STRENGTH = 0.7


@dataclass
class Model:
    """The networks that are trained, their tokenizers, and the latents' scaling."""

    denoiser: Any
    clip: Any
    t5: Any
    clip_tokenizer: Any
    t5_tokenizer: Any
    shift: float
    factor: float

    def text(self, ids: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return T5's states and CLIP's pooled output of T5's and CLIP's ids."""
        return self.t5(ids[0]).last_hidden_state, self.clip(ids[1]).pooler_output

    def ids(self, texts: list[str], tokens: int = TOKENS) -> tuple[Tensor, Tensor]:
        """Return T5's ids `[batch, tokens]` and CLIP's, padded as the kit's encoders do."""
        device = next(self.denoiser.parameters()).device
        how = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        t5 = self.t5_tokenizer(texts, max_length=tokens, **how).input_ids
        clip = self.clip_tokenizer(texts, max_length=CLIP_TOKENS, **how).input_ids
        return t5.to(device), clip.to(device)

    def predict(
        self,
        noisy: Tensor,
        level: Tensor,
        guidance: Tensor,
        text: tuple[Tensor, Tensor],
        denoiser: Any = None,
    ) -> Tensor:
        """Return the velocity of packed latents."""
        states, pooled = text
        side = noisy.shape[-1] // 2
        result: Tensor = (denoiser or self.denoiser)(
            hidden_states=flux.pack(noisy),
            timestep=level,
            guidance=guidance,
            pooled_projections=pooled,
            encoder_hidden_states=states,
            txt_ids=torch.zeros(states.shape[1], 3, device=noisy.device),
            img_ids=flux.image_ids(side, side, noisy.device),
            return_dict=False,
        )[0]
        return result.float()


class Captions:
    """Captions of every subject in every style, as ids, ready on the device."""

    def __init__(self, model: Model, count: int = _CAPTIONS) -> None:
        rng = random.Random("captions")
        texts = [
            generate.caption(subject, style, rng)
            for subject in range(len(generate.NAMES))
            for style in range(len(generate.STYLE_NAMES))
            for _ in range(count)
        ]
        self.count, self.pad = count, model.t5_tokenizer.pad_token_id
        self.t5, self.clip = model.ids([*texts, ""], max(_OTHER_TOKENS))

    def of(self, subjects: Tensor, styles: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
        """Return ids of a caption for each; of some, of none."""
        which = torch.randint_like(subjects, self.count)
        at = (subjects * len(generate.STYLE_NAMES) + styles) * self.count + which
        without = torch.rand(len(at), device=at.device) < _WITHOUT
        at = torch.where(without, len(self.t5) - 1, at)
        return self.t5[at, :tokens], self.clip[at]

    def none(self, count: int, tokens: int) -> tuple[Tensor, Tensor]:
        """Return ids of empty captions."""
        return self.t5[-1:, :tokens].expand(count, -1), self.clip[-1:].expand(count, -1)


class Latents:
    """Posteriors of the plain drawings, and what they show."""

    def __init__(self, mean: Tensor, logvar: Tensor, bank: Bank, model: Model) -> None:
        self.mean, self.logvar, self.model = mean, logvar, model
        self.subjects, self.styles = bank.subjects[: len(mean)], bank.styles[: len(mean)]

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return scaled latents, subjects and styles of some drawings."""
        at = torch.randint(len(self.mean), (count,), device=self.mean.device)
        mean, deviation = self.mean[at].float(), (self.logvar[at].float() / 2).exp()
        sample = mean + deviation * torch.randn_like(mean)
        clean = (sample - self.model.shift) * self.model.factor
        return clean, self.subjects[at], self.styles[at]


def levels(count: int, device: torch.device) -> Tensor:
    """Return noise levels: mostly logit-normal, leaning to noise as sampling does; some uniform."""
    normal = torch.sigmoid(torch.randn(count, device=device) * 1.1 + 0.35)
    return torch.where(torch.rand(count, device=device) < 0.2, torch.rand_like(normal), normal)


def begin(model: Model) -> None:
    """Start as diffusion transformers do: every block adds nothing at first (Peebles & Xie)."""
    for name, module in model.denoiser.named_modules():
        if isinstance(module, nn.Linear) and (
            name.endswith(
                ("norm.linear", "norm1.linear", "norm1_context.linear", "norm_out.linear")
            )
            or name == "proj_out"
        ):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


def train(model: Model, latents: Latents, clock: Clock, log: Log, batch: int, fast: bool) -> None:
    """Train all three networks until the clock has run down; the averaged weights stay."""
    device = latents.mean.device
    captions = Captions(model)
    begin(model)
    networks = [model.denoiser, model.clip, model.t5]
    parameters = [p for network in networks for p in network.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=_PEAK, betas=(0.9, 0.98), weight_decay=0.02, fused=device.type == "cuda"
    )
    average = Average(networks, _DECAY)
    if fast:
        model.denoiser.compile_repeated_blocks()
    rng, losses = random.Random(0), []
    while clock.passed() < 1:
        for group in optimizer.param_groups:
            group["lr"] = clock.rate(_PEAK, 200)
        clean, subjects, styles = latents.draw(batch)
        unusual = clock.steps == 2 or rng.random() < _OTHER_SHARE
        tokens = rng.choice(_OTHER_TOKENS) if unusual else TOKENS
        ids = captions.of(subjects, styles, tokens)
        noise, level = torch.randn_like(clean), levels(batch, device)
        guidance = torch.empty(batch, device=device).uniform_(*_GUIDANCE)
        mixed = torch.autocast(device.type, torch.bfloat16, device.type == "cuda")
        with usual(fast, tokens):
            with mixed:
                noisy = flow.interpolate(clean, noise, level)
                velocity = model.predict(noisy, level, guidance, model.text(ids))
                loss = (velocity - flux.pack(flow.velocity(clean, noise))).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update()
        losses.append(loss.detach())
        clock.steps += 1
        if clock.steps % 100 == 0 or clock.steps in {1, 5, 10, 20, 50}:
            log("denoiser", step=clock.steps, loss=torch.stack(losses[-100:]).mean())
    average.put()
    log("denoiser", step=clock.steps, pictures=clock.steps * batch, done=True)


def usual(fast: bool, tokens: int) -> Any:
    """Return a context in which compiled blocks run as they are for an unusual token count."""
    if not fast or tokens == TOKENS:
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


def distill(model: Model, latents: Latents, clock: Clock, log: Log, batch: int) -> None:
    """Teach the denoiser, until the clock has run down, to be guided by its guidance embedding."""
    device = latents.mean.device
    captions = Captions(model)
    for encoder in (model.clip, model.t5):
        encoder.requires_grad_(False)
    # a copy of a compiled block is not compiled: for half a minute it would not pay
    teacher = copy.deepcopy(model.denoiser).requires_grad_(False)
    parameters = list(model.denoiser.parameters())
    optimizer = torch.optim.AdamW(
        parameters,
        lr=_DISTILL_PEAK,
        betas=(0.9, 0.98),
        weight_decay=0.0,
        fused=device.type == "cuda",
    )
    average = Average([model.denoiser], 0.998)
    losses: list[Tensor] = []
    while clock.passed() < 1:
        for group in optimizer.param_groups:
            group["lr"] = clock.rate(_DISTILL_PEAK, 50)
        clean, subjects, styles = latents.draw(batch)
        ids = captions.of(subjects, styles, TOKENS)
        noise, level = torch.randn_like(clean), levels(batch, device)
        guidance = torch.empty(batch, device=device).uniform_(*_GUIDANCE)
        noisy = flow.interpolate(clean, noise, level)
        with torch.autocast(device.type, torch.bfloat16, device.type == "cuda"):
            with torch.no_grad():
                text, none = model.text(ids), model.text(captions.none(batch, TOKENS))
                given = model.predict(noisy, level, guidance, text, teacher)
                free = model.predict(noisy, level, guidance, none, teacher)
                target = free + strength(guidance)[:, None, None] * (given - free)
            velocity = model.predict(noisy, level, guidance, text)
            loss = (velocity - target).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        average.update()
        losses.append(loss.detach())
        clock.steps += 1
        if clock.steps % 100 == 0 or clock.steps in {1, 10}:
            log("distill", step=clock.steps, loss=torch.stack(losses[-100:]).mean())
    average.put()
    log("distill", step=clock.steps, pictures=clock.steps * batch, done=True)


def strength(guidance: Tensor) -> Tensor:
    """Return the strength of classifier-free guidance that a guidance value stands for."""
    return 1 + _STRENGTH * (guidance - 1)


@torch.no_grad()
def sample(
    model: Model,
    prompts: list[str],
    steps: int,
    guidance: float,
    seed: int,
    free: float | None = None,
) -> Tensor:
    """Return latents, unscaled, drawn in Euler's steps along FLUX's schedule.

    Args:
        model: the networks.
        prompts: one a picture.
        steps: of the schedule.
        guidance: for the embedding.
        seed: of the noise.
        free: strength of classifier-free guidance on top; None for a distilled model.
    """
    device = next(model.denoiser.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    drawn = torch.randn(len(prompts), 16, 12, 12, generator=generator, device=device)
    stretch = torch.tensor(flow.resolution_mu(36)).exp()
    times = torch.linspace(1, 1 / steps, steps)
    times = torch.cat([stretch / (stretch + 1 / times - 1), torch.zeros(1)]).to(device)
    many = torch.ones(len(prompts), device=device)
    with torch.autocast(device.type, torch.bfloat16, device.type == "cuda"):
        text, none = model.text(model.ids(prompts)), model.text(model.ids([""] * len(prompts)))
        for now, then in itertools.pairwise(times):
            velocity = model.predict(drawn, now * many, guidance * many, text)
            if free is not None:
                without = model.predict(drawn, now * many, guidance * many, none)
                velocity = without + free * (velocity - without)
            patches = velocity.reshape(len(prompts), 6, 6, 16, 2, 2).permute(0, 3, 1, 4, 2, 5)
            drawn = drawn + (then - now) * patches.reshape(drawn.shape)
    return drawn / model.factor + model.shift

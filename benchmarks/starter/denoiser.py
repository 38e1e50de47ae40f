"""The denoiser: what it is trained on, what it predicts, how it draws; and a training step for it.

The objective is that of rectified flow, with captions left out now and then, so that the model
also knows what drawings look like without one. The text encoders are done by now (`wording`): what
they make of every caption is computed once.

Two things make it quick on a processor: the weights that compute are bfloat16, with float32 ones
behind them, and matrices are updated orthogonally (`updates`).
"""

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from updates import Updates
from wording import OTHER_TOKENS, TOKENS, Words

from bioicons_kit.drawings import generate
from bioicons_kit.families import flow, flux

_CAPTIONS = 20  # for each pair of subject and style
_WITHOUT = 0.1  # share of captions left out
_OTHER_SHARE = 0.03  # of the steps, with another number of T5 tokens
_PEAK, _DECAY, _WARMUP = 1.5e-3, 0.999, 200
GUIDANCE = (1.0, 5.0)

Text = tuple[Tensor, Tensor]


class Captions:
    """What the encoders make of captions of every subject in every style."""

    def __init__(self, words: Words, count: int = _CAPTIONS) -> None:
        rng = random.Random("captions")
        texts = [
            generate.caption(subject, style, rng)
            for subject in range(len(generate.NAMES))
            for style in range(len(generate.STYLE_NAMES))
            for _ in range(count)
        ]
        self.count, self._texts, self._words = count, [*texts, ""], words
        self._of: dict[int, Text] = {}

    def _all(self, tokens: int) -> Text:
        """Return everything at this number of T5 tokens, encoded when it is first asked for."""
        if tokens not in self._of:
            self._of[tokens] = self._words.encoded(self._texts, tokens)
        return self._of[tokens]

    def of(self, subjects: Tensor, styles: Tensor, tokens: int) -> Text:
        """Return a caption for each; for some, none."""
        states, pooled = self._all(tokens)
        which = torch.randint_like(subjects, self.count)
        at = (subjects * len(generate.STYLE_NAMES) + styles) * self.count + which
        without = torch.rand(len(at), device=at.device) < _WITHOUT
        at = torch.where(without, len(pooled) - 1, at)
        return states[at], pooled[at]

    def none(self, count: int, tokens: int = TOKENS) -> Text:
        """Return empty captions."""
        states, pooled = self._all(tokens)
        return states[-1:].expand(count, -1, -1), pooled[-1:].expand(count, -1)


class Latents:
    """Posteriors of the plain drawings, and what they show."""

    def __init__(
        self,
        mean: Tensor,
        logvar: Tensor,
        subjects: Tensor,
        styles: Tensor,
        shift: float,
        factor: float,
    ) -> None:
        self.mean, self.logvar = mean, logvar
        self.subjects, self.styles = subjects, styles
        self._shift, self._factor = shift, factor

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return scaled latents, subjects and styles of some drawings."""
        at = torch.randint(len(self.mean), (count,), device=self.mean.device)
        mean, deviation = self.mean[at].float(), (self.logvar[at].float() / 2).exp()
        clean = (mean + deviation * torch.randn_like(mean) - self._shift) * self._factor
        return clean, self.subjects[at], self.styles[at]


def levels(count: int, device: torch.device) -> Tensor:
    """Return noise levels: mostly logit-normal, leaning to noise as sampling does; some uniform."""
    normal = torch.sigmoid(torch.randn(count, device=device) * 1.1 + 0.35)
    return torch.where(torch.rand(count, device=device) < 0.2, torch.rand_like(normal), normal)


def predict(
    denoiser: nn.Module, noisy: Tensor, level: Tensor, guidance: Tensor, text: Text
) -> Tensor:
    """Return the velocity of packed latents, float32; computed in the denoiser's dtype."""
    states, pooled = text
    side, dtype = noisy.shape[-1] // 2, next(denoiser.parameters()).dtype
    result: Tensor = denoiser(
        hidden_states=flux.pack(noisy).to(dtype),
        timestep=level.to(dtype),
        guidance=guidance.to(dtype),
        pooled_projections=pooled.to(dtype),
        encoder_hidden_states=states.to(dtype),
        txt_ids=torch.zeros(states.shape[1], 3, device=noisy.device),
        img_ids=flux.image_ids(side, side, noisy.device),
        return_dict=False,
    )[0]
    return result.float()


def begin(denoiser: nn.Module) -> None:
    """Start as diffusion transformers do: every block adds nothing at first (Peebles & Xie)."""
    for name, module in denoiser.named_modules():
        if isinstance(module, nn.Linear) and (is_modulation(name) or name == "proj_out"):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


def is_modulation(name: str) -> bool:
    """Tell whether a module computes scales and shifts."""
    return name.endswith(("norm.linear", "norm1.linear", "norm1_context.linear", "norm_out.linear"))


class Course:
    """A denoiser in training.

    Args:
        denoiser: float32; becomes bfloat16, and compiled where `fast`.
        fast: compile its blocks.
        peak: the learning rate at its highest.
        decay: of the averaged weights.
    """

    def __init__(self, denoiser: Any, fast: bool, peak: float = _PEAK, decay: float = _DECAY):
        self.denoiser, self.pictures = denoiser, 0
        self.updates = Updates(denoiser, _is_matrix, peak, decay, _WARMUP)
        denoiser.to(torch.bfloat16)
        if fast:
            denoiser.compile_repeated_blocks(dynamic=False)

    @property
    def steps(self) -> int:
        """Return the steps taken."""
        return self.updates.steps

    def step(self, loss: Tensor, share: float, count: int) -> None:
        """Update the weights by a loss of `count` pictures, at a share of the highest rate."""
        self.updates.step(loss, share)
        self.pictures += count

    def averaged(self) -> Any:
        """Return a copy of the denoiser with the averaged weights, float32, not compiled."""
        other = type(self.denoiser).from_config(self.denoiser.config)
        other.load_state_dict(self.updates.averages)
        return other.to(self.denoiser.device).eval().requires_grad_(False)

    def state(self) -> dict[str, Any]:
        """Return everything that going on needs."""
        return {**self.updates.state(), "pictures": self.pictures}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.updates.load(state)
        self.pictures = state["pictures"]


def _is_matrix(name: str) -> bool:
    """Tell whether Muon is to update a weight: one inside a block, but no modulation's."""
    inside = name.startswith(("transformer_blocks", "single_transformer_blocks"))
    return inside and not is_modulation(name.removesuffix(".weight"))


@contextmanager
def usual(tokens: int) -> Iterator[None]:
    """Attend by plain products, quicker for so few tokens; compiled for the usual count alone."""
    before = torch.compiler.set_stance("default" if tokens == TOKENS else "force_eager")
    with before, sdpa_kernel(SDPBackend.MATH):
        yield


def train_step(
    course: Course, latents: Latents, captions: Captions, share: float, batch: int, rng: Any
) -> Tensor:
    """Take one step of training; return its loss."""
    clean, subjects, styles = latents.draw(batch)
    tokens = rng.choice(OTHER_TOKENS) if rng.random() < _OTHER_SHARE else TOKENS
    text = captions.of(subjects, styles, tokens)
    noise, level = torch.randn_like(clean), levels(batch, clean.device)
    guidance = torch.empty(batch, device=clean.device).uniform_(*GUIDANCE)
    with usual(tokens):
        velocity = predict(
            course.denoiser, flow.interpolate(clean, noise, level), level, guidance, text
        )
        loss = (velocity - flux.pack(flow.velocity(clean, noise))).square().mean()
        course.step(loss, share, batch)
    return loss.detach()


@torch.no_grad()
def sample(
    denoiser: nn.Module,
    text: Text,
    none: Text,
    steps: int,
    guidance: float,
    seed: int,
    free: float | None = None,
) -> Tensor:
    """Return latents, scaled, drawn in Euler's steps along FLUX's schedule.

    Args:
        denoiser: the network.
        text: one caption a picture.
        none: as many empty ones.
        steps: of the schedule.
        guidance: for the embedding.
        seed: of the noise.
        free: strength of classifier-free guidance on top; None for a distilled model.
    """
    device, count = text[1].device, len(text[1])
    generator = torch.Generator(device).manual_seed(seed)
    drawn = torch.randn(count, 16, 12, 12, generator=generator, device=device)
    stretch = torch.tensor(flow.resolution_mu(36)).exp()
    times = torch.linspace(1, 1 / steps, steps)
    times = torch.cat([stretch / (stretch + 1 / times - 1), torch.zeros(1)]).to(device)
    many = torch.ones(count, device=device)
    with sdpa_kernel(SDPBackend.MATH):
        for now, then in itertools.pairwise(times):
            velocity = predict(denoiser, drawn, now * many, guidance * many, text)
            if free is not None:
                without = predict(denoiser, drawn, now * many, guidance * many, none)
                velocity = without + free * (velocity - without)
            patches = velocity.reshape(count, 6, 6, 16, 2, 2).permute(0, 3, 1, 4, 2, 5)
            drawn = drawn + (then - now) * patches.reshape(drawn.shape)
    return drawn

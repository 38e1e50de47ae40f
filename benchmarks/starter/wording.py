"""Train the two text encoders to tell subject and style from a caption; then they stay as they are.

Each gets two small heads, which are thrown away after: CLIP's pooled output, and the mean of T5's
states, must name the subject and the style, or that none is said. So captions that ask for the same
end up close together, whatever their wording, and all the denoiser's time goes to drawing.
"""

import random
from typing import Any

import torch
from clock import Clock, Log
from torch import Tensor, nn
from torch.nn import functional

from bioicons_kit.drawings import generate

TOKENS, CLIP_TOKENS = 16, 32
OTHER_TOKENS = (24, 32, 64)
_PEAK, _BATCH = 2e-3, 256
_EMPTY = 0.02  # share of captions that say nothing

Ids = tuple[Tensor, Tensor]


class Words:
    """The tokenizers and the encoders."""

    def __init__(self, parts: dict[str, Any], device: torch.device) -> None:
        self.device = device
        self.clip, self.t5 = (
            parts[name]().to(device).eval() for name in ("text_encoder", "text_encoder_2")
        )
        self._clip_tokenizer, self._t5_tokenizer = parts["tokenizer"](), parts["tokenizer_2"]()

    def ids(self, texts: list[str], tokens: int) -> Ids:
        """Return T5's ids `[batch, tokens]` and CLIP's, padded as the kit's encoders do."""
        how = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
        t5 = self._t5_tokenizer(texts, max_length=tokens, **how).input_ids
        clip = self._clip_tokenizer(texts, max_length=CLIP_TOKENS, **how).input_ids
        return t5.to(self.device), clip.to(self.device)

    def encode(self, ids: Ids) -> tuple[Tensor, Tensor]:
        """Return T5's states `[batch, tokens, width]` and CLIP's pooled output `[batch, width]`."""
        return self.t5(ids[0]).last_hidden_state, self.clip(ids[1]).pooler_output

    @torch.no_grad()
    def encoded(self, texts: list[str], tokens: int) -> tuple[Tensor, Tensor]:
        """Return what many texts are encoded to, in half precision."""
        found = [
            [each.half() for each in self.encode(self.ids(texts[at : at + 500], tokens))]
            for at in range(0, len(texts), 500)
        ]
        return torch.cat([each[0] for each in found]), torch.cat([each[1] for each in found])


def caption(rng: random.Random) -> tuple[str, int, int]:
    """Return a caption, its subject and its style; one more than the last where none is said."""
    subject, style = rng.randrange(len(generate.NAMES)), rng.randrange(len(generate.STYLE_NAMES))
    if rng.random() < _EMPTY:
        return "", len(generate.NAMES), len(generate.STYLE_NAMES)
    text = generate.caption(subject, style, rng)
    said = any(phrase in text for phrase in generate.PHRASES[generate.STYLE_NAMES[style]])
    return text, subject, style if said else len(generate.STYLE_NAMES)


def train(words: Words, clock: Clock, log: Log) -> None:
    """Train both encoders until the clock has run down."""
    width = words.clip.config.hidden_size
    counts = len(generate.NAMES) + 1, len(generate.STYLE_NAMES) + 1
    heads = [nn.Linear(width, count).to(words.device) for _ in range(2) for count in counts]
    networks = [words.clip, words.t5, *heads]
    parameters = [p for network in networks for p in network.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=_PEAK, betas=(0.9, 0.99), weight_decay=0.01)
    rng = random.Random("words")
    right: list[Tensor] = []
    while clock.passed() < 1:
        for group in optimizer.param_groups:
            group["lr"] = clock.rate(_PEAK)
        captions = [caption(rng) for _ in range(_BATCH)]
        tokens = rng.choice((TOKENS, TOKENS, TOKENS, *OTHER_TOKENS))
        states, pooled = words.encode(words.ids([each[0] for each in captions], tokens))
        asked = [torch.tensor([each[at] for each in captions]).to(words.device) for at in (1, 2)]
        answers = [head(pooled) for head in heads[:2]] + [
            head(states.mean(1)) for head in heads[2:]
        ]
        loss = torch.stack(
            [functional.cross_entropy(answers[at], asked[at % 2]) for at in range(4)]
        ).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        found = [(answers[at].argmax(1) == asked[at % 2]).float().mean() for at in range(4)]
        right.append(torch.stack(found))
        clock.steps += 1
        if clock.steps % 100 == 0:
            shares = torch.stack(right[-100:]).mean(0).tolist()
            log("words", step=clock.steps, loss=loss, right=[round(each, 4) for each in shares])
    log("words", step=clock.steps, done=True, right=torch.stack(right[-100:]).mean())

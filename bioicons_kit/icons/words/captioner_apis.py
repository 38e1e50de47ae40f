"""How captioning models behind HTTP are asked, and where their answers say something.

    POST {base}/models/{model}:generateContent     ai.google.dev/api/generate-content
    POST {base}/chat/completions                   platform.openai.com/docs/api-reference/chat

Limit: the temperature and the length of answers are left to the server, since models
differ in which of those they accept.
"""

import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Api:
    """How one kind of server is spoken to.

    Attributes:
        title: what it is called.
        base: its address, unless the preset has another.
        variable: the environment variable of the key.
        question: (model, prompt, PNG in base64) -> path below the base, and the request.
        headers: the key -> what carries it.
        answer: the response -> what the model said, and its version.
        marks: keys of which a response has one, even if the model said nothing.
    """

    title: str
    base: str
    variable: str
    question: Callable[[str, str, str], tuple[str, dict[str, Any]]]
    headers: Callable[[str], dict[str, str]]
    answer: Callable[[Any], tuple[Any, Any]]
    marks: frozenset[str]


def _at(value: Any, *path: str | int) -> Any:
    """Return what lies at a path of keys and positions in JSON; None where there is nothing."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _gemini_question(model: str, prompt: str, png: str) -> tuple[str, dict[str, Any]]:
    """Return a generateContent request."""
    picture = {"inline_data": {"mime_type": "image/png", "data": png}}
    path = f"models/{urllib.parse.quote(model.removeprefix('models/'), safe='')}:generateContent"
    return path, {"contents": [{"parts": [picture, {"text": prompt}]}]}


def _gemini_answer(response: Any) -> tuple[Any, Any]:
    """Return the text of a generateContent response, thoughts left out, and the version."""
    parts = _at(response, "candidates", 0, "content", "parts")
    said = [
        text
        for part in (parts if isinstance(parts, list) else [])
        if isinstance(text := _at(part, "text"), str) and not _at(part, "thought")
    ]
    return "".join(said), _at(response, "modelVersion")


def _openai_question(model: str, prompt: str, png: str) -> tuple[str, dict[str, Any]]:
    """Return a chat completion request."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png}"}}
    content = [{"type": "text", "text": prompt}, picture]
    return "chat/completions", {"model": model, "messages": [{"role": "user", "content": content}]}


APIS = {
    "gemini": Api(
        "the Gemini API",
        "https://generativelanguage.googleapis.com/v1beta",
        "GEMINI_API_KEY",
        _gemini_question,
        lambda key: {"x-goog-api-key": key} if key else {},
        _gemini_answer,
        frozenset({"candidates", "promptFeedback"}),
    ),
    "openai": Api(
        "the OpenAI API",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        _openai_question,
        lambda key: {"Authorization": f"Bearer {key}"} if key else {},
        lambda response: (
            _at(response, "choices", 0, "message", "content"),
            _at(response, "model"),
        ),
        frozenset({"choices"}),
    ),
}

"""Conversations and their parts; the normalised text that decides a prompt's identity and split."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable

SPLITS = ("train", "validation", "test")
ROLES = ("system", "user", "assistant")
MEDIA = ("image", "video")


def text_parts(text: str) -> list[dict]:
    return [{"type": "text", "text": text}]


def text_of(parts: list[dict]) -> str:
    """The text of an answer or message: its text parts, one below the other."""
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def media_of(parts: list[dict]) -> list[dict]:
    """Its pictures and videos in their order: [{type, media, media_type, width?, height?, alt}], `media` a hash."""
    return [part for part in parts if part["type"] in MEDIA]


def said(parts: list[dict]) -> str:
    """All that the parts say, as one text: answers that say the same have the same. Plain text stands for itself."""
    text, media = text_of(parts), media_of(parts)
    return json.dumps([text, *(part["media"] for part in media)]) if media else text


def messages_of(prompt: str) -> list[dict]:
    return [{"role": "user", "content": text_parts(prompt)}]


def messages_read(messages: object, media_read: Callable[[dict], dict | None] = lambda part: None) -> list[dict]:
    """Messages as stored (content as parts) from messages as people write them (content as text or parts).

    media_read: what is kept of a part that is a picture or a video, None where the part is neither.
    Raises ValueError in words a person can act on: an unknown role, an empty text, an unknown part.
    """
    if not isinstance(messages, list) or not messages:
        raise ValueError("messages must be a list with at least one {role, content}")
    stored = []
    for position, message in enumerate(messages, start=1):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise ValueError(f"message {position}: role must be one of {', '.join(ROLES)}")
        content = message.get("content")
        if isinstance(content, str):
            content = text_parts(content)
        if not isinstance(content, list) or not content:
            raise ValueError(f"message {position}: content must be a text or a list of parts")
        parts = []
        for part in content:
            if isinstance(part, dict) and (media := media_read(part)) is not None:
                parts.append(media)
                continue
            if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise ValueError(f'message {position}: every part must be {{"type": "text", "text": …}}')
            parts.append({"type": "text", "text": part["text"].replace("\x00", "")})
        if not media_of(parts) and not any(part["text"].strip() for part in parts):
            raise ValueError(f"message {position} ({message['role']}) has no text")
        stored.append({"role": message["role"], "content": parts})
    if stored[-1]["role"] == "assistant":
        raise ValueError("the last message must not be the assistant's: there is nothing left to answer")
    return stored


def normalised(text: str) -> str:
    """Unicode NFKC, case folded, every run of white space one space."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).strip().casefold()


def prompt_digest(messages: list[dict]) -> str:
    """SHA-256 of the conversation's roles, normalised texts and media: prompts with the same digest are the same."""
    turns = [
        [
            message["role"],
            normalised(text_of(message["content"])),
            *(part["media"] for part in media_of(message["content"])),
        ]
        for message in messages
    ]
    return hashlib.sha256(json.dumps(turns, ensure_ascii=False).encode()).hexdigest()


def split_of(digest: str) -> str:
    """The split that a prompt's digest decides: 80 % train, 10 % validation, 10 % test."""
    share = int(digest[:8], 16) / 0x1_0000_0000
    return "train" if share < 0.8 else "validation" if share < 0.9 else "test"

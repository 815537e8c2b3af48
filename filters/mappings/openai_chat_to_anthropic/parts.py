"""Content parts of a chat message → content blocks. One function per part type, found in a table."""

import base64
from collections.abc import Callable, Mapping
from typing import Final

from filters.dialects.anthropic_messages import request as anthropic
from filters.dialects.openai_chat.request import CacheControl, Part
from filters.mappings import data_uri
from filters.mappings.openai_chat_to_anthropic.notes import Notes
from filters.mappings.openai_chat_to_anthropic.refusals import malformed, unprocessable
from filters.quirks import claude

MediaBlock = anthropic.TextBlock | anthropic.ImageBlock | anthropic.DocumentBlock

IMAGE_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_ALIASES: Final[Mapping[str, str]] = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg"}
"""names that clients write, and that nobody registered"""
PDF: Final = "application/pdf"
TEXT_TYPES: Final = frozenset({"application/json", "application/xml", "application/yaml", "application/x-yaml"})
"""besides `text/*`: documents that are sent as plain text"""


def cache_control(mark: CacheControl | None) -> anthropic.CacheControl | None:
    """Only `ephemeral` marks count (§2.7); `ttl` goes along."""
    if mark is None or mark.type != "ephemeral":
        return None
    return anthropic.CacheControl(ttl=mark.ttl)


def block(part: Part, param: str, notes: Notes) -> MediaBlock | None:
    """The block of one user (or tool result) part; None for text without a visible character, which the API refuses.

    Raises MalformedRequest for a type that chat completions do not know, Unprocessable for content that Claude does not
    take.
    """
    if not part.type:
        raise malformed(
            "cannot unmarshal JSON data as string or array of content parts: chat content does not have type",
            f"{param}.type",
        )
    make = _BLOCKS.get(part.type)
    if make is None:
        raise malformed(
            "cannot unmarshal JSON data as string or array of content parts: "
            f"unknown ChatCompletionContentPartUnionParam type: {part.type}",
            f"{param}.type",
        )
    return make(part, param, notes)


def text(content: str | None, mark: CacheControl | None = None) -> anthropic.TextBlock | None:
    if not content or content.isspace():
        return None
    return anthropic.TextBlock(content) if mark is None else anthropic.TextBlock(content, cache_control(mark))


def _text(part: Part, _param: str, _notes: Notes) -> MediaBlock | None:
    return text(part.text, part.cache_control)


def _image(part: Part, param: str, notes: Notes) -> MediaBlock:
    param = f"{param}.image_url"
    if part.image_url is None or not part.image_url.url:
        raise unprocessable("image_url.url is missing", f"{param}.url", code="missing_field")
    if part.image_url.detail in ("low", "high"):
        notes.drop("messages[].content[].image_url.detail")
    url = part.image_url.url
    mark = cache_control(part.cache_control)
    if not data_uri.is_data_uri(url):
        if url.lower().endswith(".pdf"):
            return anthropic.DocumentBlock(anthropic.UrlSource(url), cache_control=mark)
        return anthropic.ImageBlock(anthropic.UrlSource(url), mark)
    data = _data(url, f"{param}.url", "failed to parse image URL")
    media_type = _ALIASES.get(data.media_type, data.media_type)
    if data.media_type == PDF:
        return anthropic.DocumentBlock(anthropic.Base64Source(PDF, data.base64), cache_control=mark)
    if media_type not in IMAGE_TYPES:
        raise unprocessable(f"invalid media_type for image '{media_type}'", f"{param}.url")
    return anthropic.ImageBlock(anthropic.Base64Source(media_type, data.base64), mark)


def _file(part: Part, param: str, notes: Notes) -> MediaBlock:
    param = f"{param}.file"
    file = part.file
    mark = cache_control(part.cache_control)
    if file is None or not (file.file_data or file.file_id):
        raise unprocessable("a file part needs file_data or file_id", param, code="missing_field")
    title = file.filename or None
    if not file.file_data:
        notes.need(claude.FILES_BETA)
        return anthropic.DocumentBlock(anthropic.FileSource(file.file_id or ""), title, mark)
    if not data_uri.is_data_uri(file.file_data):
        # OpenAI's own documentation shows bare base64 too; the name is then the only hint.
        if not (title and title.lower().endswith(".pdf")):
            raise unprocessable("file_data must be a data URI (data:application/pdf;base64,...)", f"{param}.file_data")
        data = _data(f"data:{PDF};base64,{file.file_data}", f"{param}.file_data", "failed to read file_data")
    else:
        data = _data(file.file_data, f"{param}.file_data", "failed to read file_data")
    if data.media_type == PDF:
        return anthropic.DocumentBlock(anthropic.Base64Source(PDF, data.base64), title, mark)
    if (media_type := _ALIASES.get(data.media_type, data.media_type)) in IMAGE_TYPES:
        return anthropic.ImageBlock(anthropic.Base64Source(media_type, data.base64), mark)
    if data.media_type.startswith("text/") or data.media_type in TEXT_TYPES:
        try:
            content = base64.b64decode(data.base64).decode()
        except UnicodeDecodeError:
            raise unprocessable("a text document must be UTF-8", f"{param}.file_data") from None
        return anthropic.DocumentBlock(anthropic.TextSource("text/plain", content), title, mark)
    raise unprocessable(f"documents of type '{data.media_type}' are not supported", f"{param}.file_data")


def _data(uri: str, param: str, problem: str) -> data_uri.Data:
    try:
        return data_uri.read(uri)
    except ValueError as exc:
        raise unprocessable(f"{problem}: {exc}", param) from None


def _refused(member: str, reason: str) -> Callable[[Part, str, Notes], MediaBlock | None]:
    def refuse(_part: Part, param: str, _notes: Notes) -> MediaBlock | None:
        raise unprocessable(reason, f"{param}.{member}", code="unsupported_content")

    return refuse


_BLOCKS: Final[Mapping[str, Callable[[Part, str, Notes], MediaBlock | None]]] = {
    "text": _text,
    "image_url": _image,
    "file": _file,
    "input_audio": _refused("input_audio", "input audio content not supported yet"),
    "audio_url": _refused("audio_url", "audio content not supported yet"),
    "video_url": _refused("video_url", "video content not supported yet"),
}

"""Content parts of a chat message → content blocks. One function per part type, in a table.

Content comes from a data URI (its bytes travel in the request) or from S3 (`s3://bucket/key`, which the model's own
platform reads). Anything else would have to be fetched by the gateway, which it does not do: 422.
"""

from collections.abc import Callable, Mapping
from typing import Final

from filters.dialects.converse.request import Block, CachePoint, Document, Media, S3Location, Source
from filters.dialects.openai_chat.request import CacheControl, Part
from filters.mappings import data_uri
from filters.mappings.openai_chat_to_converse.refusals import malformed, unprocessable
from filters.quirks import bedrock

_TTLS: Final = ("5m", "1h")
_WRAPPED: Final = "cannot unmarshal JSON data as string or array of content parts: "


class Documents:
    """Gives names. Bedrock wants one per document, unlike each other; a neutral one cannot carry a prompt injection,
    and counting from the first message keeps the names of a growing conversation (so its cached prefix stays)."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def name(self) -> str:
        self._count += 1
        return f"document-{self._count}"


def cache_point(mark: CacheControl | None) -> CachePoint | None:
    """Only `ephemeral` marks count (§2.7); `ttl` goes along where Bedrock has it."""
    if mark is None or mark.type != "ephemeral":
        return None
    return CachePoint("default", mark.ttl if mark.ttl in _TTLS else None)


def block(part: Part, param: str, documents: Documents, dropped: dict[str, None]) -> Block | None:
    """One user (or tool result) part; None for text without a visible character, which Bedrock refuses.

    Raises MalformedRequest for a type that chat completions do not know, Unprocessable for content that Converse does
    not take.
    """
    if not part.type:
        raise malformed(f"{_WRAPPED}chat content does not have type", f"{param}.type")
    make = _PARTS.get(part.type)
    if make is None:
        raise malformed(f"{_WRAPPED}unknown ChatCompletionContentPartUnionParam type: {part.type}", f"{param}.type")
    return make(part, param, documents, dropped)


def _text(part: Part, _param: str, _documents: Documents, _dropped: dict[str, None]) -> Block | None:
    if not part.text or part.text.isspace():
        return None
    return Block(text=part.text)


def _image(part: Part, param: str, _documents: Documents, dropped: dict[str, None]) -> Block:
    param = f"{param}.image_url.url"
    if part.image_url is None or not part.image_url.url:
        raise unprocessable("image_url.url is missing", param, code="missing_field")
    if part.image_url.detail in ("low", "high"):
        dropped["messages[].content[].image_url.detail"] = None
    url = part.image_url.url
    if _is_s3(url):
        return Block(image=Media(_by_name(url, bedrock.IMAGE_EXTENSIONS, "image", param), _s3(url)))
    if not data_uri.is_data_uri(url):
        raise unprocessable(
            "invalid image data URI (Bedrock reads data: and s3:// only, and the gateway fetches nothing)",
            param,
            code="unsupported_content",
        )
    data = _data(url, "invalid image data URI", param)
    return Block(image=Media(_by_type(data.media_type, bedrock.IMAGE_FORMATS, "image", param), _bytes(data)))


def _file(part: Part, param: str, documents: Documents, _dropped: dict[str, None]) -> Block:
    param = f"{param}.file"
    file = part.file
    if file is None or not file.file_data:
        reason = (
            "file_id cannot be read by Bedrock, send file_data" if file and file.file_id else "file_data is missing"
        )
        code = "unsupported_content" if file and file.file_id else "missing_field"
        raise unprocessable(reason, f"{param}.file_{'id' if file and file.file_id else 'data'}", code=code)
    text, param = file.file_data, f"{param}.file_data"
    filename = file.filename or ""
    if _is_s3(text):
        format_ = _by_name(text, bedrock.DOCUMENT_EXTENSIONS, "document", param)
        return Block(document=Document(format_, documents.name(), _s3(text)))
    if not data_uri.is_data_uri(text):
        # OpenAI's own documentation shows bare base64 too; the name is then the only hint.
        format_ = _by_name(filename, bedrock.DOCUMENT_EXTENSIONS, "document", param)
        return Block(document=Document(format_, documents.name(), Source(_base64(text, param))))
    data = _data(text, "invalid file data URI", param)
    if data.media_type in bedrock.IMAGE_FORMATS:
        return Block(image=Media(bedrock.IMAGE_FORMATS[data.media_type], _bytes(data)))
    format_ = bedrock.DOCUMENT_FORMATS.get(data.media_type) or bedrock.DOCUMENT_EXTENSIONS.get(_extension(filename), "")
    if not format_:
        raise unprocessable(f"unsupported document format {data.media_type}", param, code="unsupported_content")
    return Block(document=Document(format_, documents.name(), _bytes(data)))


def _input_audio(part: Part, param: str, _documents: Documents, _dropped: dict[str, None]) -> Block:
    audio = part.input_audio
    if audio is None or not audio.data:
        raise unprocessable("input_audio.data is missing", f"{param}.input_audio.data", code="missing_field")
    format_ = bedrock.AUDIO_EXTENSIONS.get(audio.format.lower())
    if format_ is None:
        raise unprocessable(
            f"unsupported audio format {audio.format}", f"{param}.input_audio.format", code="unsupported_content"
        )
    return Block(audio=Media(format_, Source(_base64(audio.data, f"{param}.input_audio.data"))))


def _audio_url(part: Part, param: str, _documents: Documents, _dropped: dict[str, None]) -> Block:
    url = part.audio_url.url if part.audio_url else ""
    return Block(audio=_media(url, "audio", f"{param}.audio_url.url"))


def _video_url(part: Part, param: str, _documents: Documents, _dropped: dict[str, None]) -> Block:
    url = part.video_url.url if part.video_url else ""
    return Block(video=_media(url, "video", f"{param}.video_url.url"))


_Make = Callable[[Part, str, Documents, dict[str, None]], Block | None]
_PARTS: Final[Mapping[str, _Make]] = {
    "text": _text,
    "image_url": _image,
    "file": _file,
    "input_audio": _input_audio,
    "audio_url": _audio_url,
    "video_url": _video_url,
}
_BY_TYPE: Final = {"audio": bedrock.AUDIO_FORMATS, "video": bedrock.VIDEO_FORMATS}
_BY_NAME: Final = {"audio": bedrock.AUDIO_EXTENSIONS, "video": bedrock.VIDEO_EXTENSIONS}


def _media(url: str, kind: str, param: str) -> Media:
    if _is_s3(url):
        return Media(_by_name(url, _BY_NAME[kind], kind, param), _s3(url))
    if not data_uri.is_data_uri(url):
        raise unprocessable(
            f"invalid {kind} data URI (Bedrock reads data: and s3:// only, and the gateway fetches nothing)",
            param,
            code="unsupported_content",
        )
    data = _data(url, f"invalid {kind} data URI", param)
    return Media(_by_type(data.media_type, _BY_TYPE[kind], kind, param), _bytes(data))


def _data(url: str, problem: str, param: str) -> data_uri.Data:
    try:
        return data_uri.read(url)
    except ValueError as exc:
        raise unprocessable(f"{problem}: {exc}", param, code="invalid_value") from exc


def _base64(text: str, param: str) -> str:
    try:
        return data_uri.canonical_base64(text)
    except ValueError as exc:
        raise unprocessable(str(exc), param, code="invalid_value") from exc


def _bytes(data: data_uri.Data) -> Source:
    return Source(data.base64)


def _is_s3(url: str) -> bool:
    return url.startswith("s3://")


def _s3(url: str) -> Source:
    return Source(s3_location=S3Location(url))


def _by_type(media_type: str, formats: Mapping[str, str], kind: str, param: str) -> str:
    if media_type not in formats:
        raise unprocessable(f"unsupported {kind} format {media_type}", param, code="unsupported_content")
    return formats[media_type]


def _by_name(name: str, formats: Mapping[str, str], kind: str, param: str) -> str:
    extension = _extension(name)
    if extension not in formats:
        raise unprocessable(
            f"cannot tell the {kind} format: the name should end in one of {', '.join(formats)}",
            param,
            code="unsupported_content",
        )
    return formats[extension]


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""

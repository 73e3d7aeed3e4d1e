"""The artifact store."""

from pathlib import Path

import pytest

from penstock.artifacts import MAX_PAYLOAD_BYTES, ArtifactStore
from penstock.carried import CarriedText, carry_text, read_text
from penstock.errors import ArtifactStoreUnreachable, InvalidInput, NotFound, PayloadTooLarge
from penstock_schemas.records import PayloadRef
from penstock_schemas.topics import MAX_INLINE_BYTES
from tests.faults.mounts import SIZE_BYTES, MountRefused, small_disk


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "blobs") if request.param == "folder" else f"memory://{tmp_path.name}")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_what_was_put_can_be_got(store):
    ref = await store.put(b"bytes")
    assert ref.size == 5
    assert await store.get(ref) == b"bytes"


async def test_the_same_bytes_are_kept_once_and_nothing_else_stays(tmp_path):
    store = ArtifactStore(str(tmp_path))
    assert await store.put(b"bytes") == await store.put(b"bytes")
    assert [path.name for path in files(tmp_path)] == [(await store.put(b"bytes")).sha256]


async def test_a_full_disk_says_so_and_keeps_nothing_half_written(tmp_path):
    try:
        with small_disk(tmp_path / "disk") as disk:
            store = ArtifactStore(str(disk))
            kept = await store.put(b"bytes")
            with pytest.raises(ArtifactStoreUnreachable, match="No space left on device"):
                await store.put(bytes(SIZE_BYTES + 1))
            assert await store.get(kept) == b"bytes"
            assert [path.name for path in files(disk)] == [kept.sha256]
    except MountRefused as exc:
        pytest.skip(f"no file system to fill: {exc}")


async def test_a_blob_cut_short_is_written_again(tmp_path):
    store = ArtifactStore(str(tmp_path))
    ref = await store.put(b"bytes")
    files(tmp_path)[0].write_bytes(b"by")
    await store.put(b"bytes")
    assert await store.get(ref) == b"bytes"


@pytest.mark.parametrize("damage", [b"other", b"by", b""])
async def test_other_bytes_under_a_hash_are_never_returned(tmp_path, damage):
    store = ArtifactStore(str(tmp_path))
    ref = await store.put(b"bytes")
    files(tmp_path)[0].write_bytes(damage)
    with pytest.raises(ArtifactStoreUnreachable, match="damaged"):
        await store.get(ref)


async def test_a_blob_that_is_not_there_is_not_found(tmp_path):
    ref = await ArtifactStore(str(tmp_path)).put(b"bytes")
    files(tmp_path)[0].unlink()
    with pytest.raises(NotFound, match=ref.sha256):
        await ArtifactStore(str(tmp_path)).get(ref)


async def test_a_reference_to_anything_outside_the_store_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"key")
    store = ArtifactStore(str(tmp_path / "blobs"))
    ref = await ArtifactStore(str(tmp_path / "elsewhere")).put(b"key")
    for uri in (f"file://{secret}", ref.uri, "http://169.254.169.254/"):
        with pytest.raises(InvalidInput, match="only followed into the store"):
            await store.get(ref.model_copy(update={"uri": uri}))


async def test_a_store_that_cannot_be_written_or_read_says_where_it_is(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = ArtifactStore(str(tmp_path / "file"))
    with pytest.raises(ArtifactStoreUnreachable, match="PENSTOCK_ARTIFACTS_URL"):
        await store.put(b"bytes")


def test_a_url_nobody_can_open_is_refused_at_once():
    with pytest.raises(InvalidInput, match="PENSTOCK_ARTIFACTS_URL"):
        ArtifactStore("carrier-pigeon://loft")


async def test_what_is_too_large_for_memory_is_refused_before_it_is_read(store):
    with pytest.raises(PayloadTooLarge):
        await store.get(PayloadRef(sha256="0" * 64, size=MAX_PAYLOAD_BYTES + 1, uri="x"))


@pytest.mark.parametrize(
    ("letters", "inline"), [(MAX_INLINE_BYTES // 2, True), (MAX_INLINE_BYTES // 2 + 1, False)]
)
async def test_a_text_travels_inline_up_to_the_limit_in_utf_8(store, letters, inline):
    carried = await carry_text("ü" * letters, store)
    assert (carried.ref is None) == inline
    assert await read_text(carried, store) == "ü" * letters


async def test_without_a_store_a_large_text_is_refused_and_a_reference_too(store):
    with pytest.raises(PayloadTooLarge, match="PENSTOCK_ARTIFACTS_URL"):
        await carry_text("x" * (MAX_INLINE_BYTES + 1), None)
    with pytest.raises(InvalidInput, match="PENSTOCK_ARTIFACTS_URL"):
        await read_text(CarriedText(None, await store.put(b"x")), None)


async def test_bytes_that_are_no_text_are_not_read_as_text(store):
    with pytest.raises(InvalidInput, match="UTF-8"):
        await read_text(CarriedText(None, await store.put(b"\xff")), store)


async def test_no_text_is_the_empty_text():
    assert await read_text(CarriedText(None, None), None) == ""


SCOPE = "0a1b2c3d-0000-8000-8000-00000000000a"


async def test_a_scope_keeps_its_own_copy_and_is_removed_with_nothing_else(tmp_path):
    store = ArtifactStore(str(tmp_path))
    common, scoped = await store.put(b"same"), await store.put(b"same", SCOPE)
    assert scoped.uri.endswith(f"/conversations/{SCOPE}/{scoped.sha256}")
    assert await store.get(scoped) == b"same"
    await store.remove(SCOPE)
    assert await store.get(common) == b"same"
    with pytest.raises(NotFound):
        await store.get(scoped)
    await store.remove(SCOPE)  # there is nothing left, and nothing to say about it


async def test_what_lies_beside_is_sought_in_the_scope_of_its_list_and_nowhere_else(store):
    listed, file = await store.put(b"list", "2026-01"), await store.put(b"file", "2026-01")
    other = await store.put(b"mine", SCOPE)
    assert store.beside(listed, file.sha256, file.size) == file
    assert store.beside(other, other.sha256, other.size) == other
    with pytest.raises(NotFound):  # a list of one scope cannot name what another has
        await store.get(store.beside(listed, other.sha256, other.size))
    with pytest.raises(InvalidInput):
        store.beside(listed.model_copy(update={"uri": "file:///etc/passwd"}), file.sha256, file.size)


@pytest.mark.parametrize(
    "path", ["conversations/../../etc", f"conversations/{SCOPE}/..", f"other/{SCOPE}", "2026-13/ab"]
)
async def test_a_reference_to_no_scope_of_ours_is_refused(tmp_path, path):
    store = ArtifactStore(str(tmp_path))
    ref = await store.put(b"mine", SCOPE)
    foreign = ref.model_copy(update={"uri": ref.uri.replace(f"conversations/{SCOPE}", path)})
    with pytest.raises(InvalidInput):
        await store.get(foreign)

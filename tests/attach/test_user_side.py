# SPDX-License-Identifier: BSD-2-Clause
"""uprobes and USDT probes, on a process of our own and on the C library in it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
from attachkit import GUEST, ROUNDS, THREADS, Watched, load, value
from rounds import attach_and_close, rounds

from rawbpf import attach
from rawbpf.errors import ElfError, KernelError, NotSupportedError, SpecError
from rawbpf.kernel import features
from rawbpf.kernel.attach import Attachment, perf
from rawbpf.kernel.attach.usdt_specs import Specs
from rawbpf.kernel.links import Link
from rawbpf.uapi import LinkType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rawbpf.kernel.object import Object
    from rawbpf.kernel.programs import Program

MODES = ["link", "ioctl", pytest.param("tracefs", marks=pytest.mark.skipif(not GUEST, reason="tracefs is global"))]


@pytest.fixture(autouse=True)
def _uprobes(require: Callable[[object, str], None]) -> None:
    require(perf.pmu_type("uprobe") is not None, "the kernel has no uprobes")


@pytest.fixture
def obj(watched: Watched) -> Iterator[Object]:
    with load("attach_user", "entry", "exit_", "library", "multi", "session", "probe") as obj:
        obj.variables["process"].value = watched.pid
        yield obj


def hits(obj: Object, name: str) -> int:
    return int(value(obj, f"hits_{name}"))


# -- uprobes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["entry", "exit_"])
def test_a_function_of_a_process(obj: Object, watched: Watched, name: str, mode: str) -> None:
    with attach.uprobe(obj.programs[name], watched.binary, "plain", pid=watched.pid, mode=mode) as made:
        assert isinstance(made, Link if mode == "link" else Attachment)
        assert watched.do("f") == 5
        assert watched.do("f") == 5
        assert hits(obj, name) == 2
    watched.do("f")
    assert hits(obj, name) == 2


def test_a_cookie_and_what_the_link_says(obj: Object, watched: Watched) -> None:
    with attach.uprobe(obj.programs["entry"], watched.binary, "plainly", pid=watched.pid, cookie=0xC00C1E) as link:
        watched.do("f")
        assert value(obj, "cookie_entry") == 0xC00C1E
        assert isinstance(link, Link)
        assert link.info.type == LinkType.PERF_EVENT
        assert link.info.prog_id == obj.programs["entry"].id


def test_an_offset(obj: Object, watched: Watched) -> None:
    # the last instruction of `plain` is a ret of one byte; what is before it is an instruction too
    from rawbpf.kernel.userspace import find_function, open_image

    with open_image(watched.binary) as image:
        function = find_function(image, "plain")
    last = function.size - 1
    with attach.uprobe(obj.programs["entry"], watched.binary, "plain", offset=last, pid=watched.pid):
        watched.do("f")
    with attach.uprobe(obj.programs["entry"], watched.binary, function.offset + last, pid=watched.pid):
        watched.do("f")
    assert hits(obj, "entry") == 2


def test_all_processes(obj: Object, watched: Watched) -> None:
    # of a binary that nobody else runs
    with attach.uprobe(obj.programs["entry"], watched.binary, "plain"):
        watched.do("f")
    assert hits(obj, "entry") == 1


def test_the_c_library_by_its_section(obj: Object, watched: Watched) -> None:
    with obj.programs["library"].attach(pid=watched.pid, cookie=3):
        assert watched.do("l") == 1
    assert (hits(obj, "library"), value(obj, "cookie_library")) == (1, 3)


def test_this_process(obj: Object) -> None:
    obj.variables["process"].value = os.getpid()
    with attach.uprobe(obj.programs["entry"], "libc.so.6", "getpgid", pid=0):
        os.getpgid(0)
    assert hits(obj, "entry") == 1


def test_another_program_in_its_place_is_refused(obj: Object, watched: Watched) -> None:
    with attach.uprobe(obj.programs["entry"], watched.binary, "plain", pid=watched.pid) as link:
        with pytest.raises(NotSupportedError, match="update of links of this type") as refused:
            link.update(obj.programs["exit_"])
        assert refused.value.hint == "attach the other program, then close this link"
        with pytest.raises(NotSupportedError, match="detach"):
            link.detach()


def test_pinned(obj: Object, watched: Watched, bpffs_dir: Path) -> None:
    link = attach.uprobe(obj.programs["entry"], watched.binary, "plain", pid=watched.pid)
    link.pin(bpffs_dir / "uprobe")
    link.close()
    watched.do("f")
    assert hits(obj, "entry") == 1
    with Link.open(bpffs_dir / "uprobe") as again:
        again.unpin(bpffs_dir / "uprobe")
    watched.do("f")
    assert hits(obj, "entry") == 1


def test_without_a_link(obj: Object, watched: Watched, tmp_path: Path) -> None:
    with attach.uprobe(obj.programs["entry"], watched.binary, "plain", pid=watched.pid, mode="ioctl") as made:
        assert isinstance(made, Attachment)
        assert made.info == {
            "prog_id": obj.programs["entry"].id,
            "binary": watched.binary,
            "offset": made.info["offset"],
            "retprobe": False,
            "pid": watched.pid,
        }
        with pytest.raises(NotSupportedError, match="only links can be pinned"):
            made.pin(tmp_path / "x")
        with pytest.raises(NotSupportedError, match="exchange"):
            made.update(obj.programs["exit_"])
        made.detach()
        watched.do("f")
        assert hits(obj, "entry") == 0


def test_one_that_is_forgotten_warns_and_ends(obj: Object, watched: Watched) -> None:
    made = attach.uprobe(obj.programs["entry"], watched.binary, "plain", pid=watched.pid, mode="ioctl")
    with pytest.warns(ResourceWarning, match="unclosed <EventAttachment 'entry'>"):
        del made
    watched.do("f")
    assert hits(obj, "entry") == 0


# -- many at once


def test_many_functions(obj: Object, watched: Watched) -> None:
    with attach.uprobe_multi(obj.programs["multi"], watched.binary, "plain*", pid=watched.pid) as link:
        watched.do("f")
        assert hits(obj, "multi") == 2
        assert link.info.type == LinkType.UPROBE_MULTI
    watched.do("f")
    assert hits(obj, "multi") == 2


@pytest.mark.parametrize("retprobe", [False, True])
def test_many_functions_with_cookies(obj: Object, watched: Watched, retprobe: bool) -> None:
    places = {"pid": watched.pid, "cookies": [7, 9], "retprobe": retprobe}
    with attach.uprobe_multi(obj.programs["multi"], watched.binary, ["plainly", "probed"], **places):
        watched.do("f")
        assert value(obj, "cookie_multi") == 7
        watched.do("p")
        assert value(obj, "cookie_multi") == 9


def test_a_session(obj: Object, watched: Watched) -> None:
    with attach.uprobe_multi(obj.programs["session"], watched.binary, "plain", pid=watched.pid):
        watched.do("f")
    assert hits(obj, "session") == 2


# -- USDT


def check_values(obj: Object, watched: Watched) -> None:
    watched.do("p")
    assert hits(obj, "probe") == 1
    assert value(obj, "count_probe") == 6
    assert list(value(obj, "arguments"))[:6] == [2**64 - 5 - 2**64, -6, -7, -7, 20, -40]


def test_the_arguments_of_a_probe(obj: Object, watched: Watched) -> None:
    with attach.usdt(obj.programs["probe"], watched.binary, "watched", "values", pid=watched.pid, cookie=77) as link:
        assert isinstance(link, Link)
        check_values(obj, watched)
        assert value(obj, "cookie_probe") == 77
    watched.do("p")
    assert hits(obj, "probe") == 1


def test_a_probe_at_two_places(obj: Object, watched: Watched) -> None:
    program = obj.programs["probe"]
    with program.attach(binary=watched.binary, provider="watched", name="twice", pid=watched.pid):
        watched.do("t")
        assert hits(obj, "probe") == 2
        assert value(obj, "arguments")[0] == 2
    watched.do("t")
    assert hits(obj, "probe") == 2


def test_a_semaphore(obj: Object, watched: Watched) -> None:
    assert watched.do("g") == 0
    with attach.usdt(obj.programs["probe"], watched.binary, "watched", "guarded", pid=watched.pid):
        assert watched.do("g") == 1
        assert (hits(obj, "probe"), value(obj, "count_probe")) == (1, 0)
    assert watched.do("g") == 0


THROWER = """
#include <cstdio>
int main()
{
	for (int letter; (letter = std::getchar()) != EOF; std::fflush(stdout))
		try {
			throw letter;
		} catch (int caught) {
			std::printf("%c 0\\n", caught);
		}
}
"""


def test_the_probes_of_a_library(obj: Object, tmp_path: Path, require: Callable[[object, str], None]) -> None:
    require(shutil.which("g++"), "no C++ compiler, to make what calls a library with probes")
    subprocess.run(["g++", "-x", "c++", "-", "-o", tmp_path / "thrower"], input=THROWER, text=True, check=True)
    with closing(Watched(tmp_path / "thrower")) as thrower:
        obj.variables["process"].value = thrower.pid
        with attach.usdt(obj.programs["probe"], "libstdc++.so.6", "libstdcxx", "throw", pid=thrower.pid):
            thrower.do("x")
            assert hits(obj, "probe") == 1
            assert value(obj, "arguments")[0]  # where the exception is
        thrower.do("x")
        assert hits(obj, "probe") == 1


def test_specs_are_given_back(obj: Object, watched: Watched) -> None:
    def used() -> list[int]:
        array = obj.maps["__bpf_usdt_specs"]
        return [n for n in range(array.max_entries) if array.raw_value(n.to_bytes(4, "little"))[-6]]

    program = obj.programs["probe"]
    first = attach.usdt(program, watched.binary, "watched", "twice", pid=watched.pid)
    second = attach.usdt(program, watched.binary, "watched", "values", pid=watched.pid)
    assert used() == [0, 1, 2]
    first.close()
    assert used() == [2]
    second.close()
    assert used() == []


def test_one_by_one_where_the_kernel_has_no_links_to_many(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    real = features.probe
    monkeypatch.setattr(features, "probe", lambda name: False if name == "uprobe_multi_link" else real(name))
    with load("attach_user", "probe") as obj:
        obj.variables["process"].value = watched.pid
        with attach.usdt(obj.programs["probe"], watched.binary, "watched", "values", pid=watched.pid, cookie=5) as made:
            assert isinstance(made, Attachment)
            assert made.info["probe"] == "values"
            check_values(obj, watched)
            assert value(obj, "cookie_probe") == 5
        with attach.usdt(obj.programs["probe"], watched.binary, "watched", "twice", pid=watched.pid):
            watched.do("t")
        assert hits(obj, "probe") == 3
        watched.do("p")
        assert hits(obj, "probe") == 3


def test_by_address_where_the_kernel_has_no_cookies(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    real = features.probe
    missing = ("uprobe_multi_link", "bpf_cookie", "perf_link")
    monkeypatch.setattr(features, "probe", lambda name: False if name in missing else real(name))
    with load("attach_user", "probe") as obj:
        with attach.usdt(obj.programs["probe"], watched.binary, "watched", "values", pid=watched.pid, cookie=5):
            check_values(obj, watched)
            assert value(obj, "cookie_probe") == 5
        with pytest.raises(NotSupportedError, match="cookies of attached programs") as refused:
            attach.usdt(obj.programs["probe"], watched.binary, "watched", "values")
        assert "pid=" in (refused.value.hint or "")
        assert list(obj.maps["__bpf_usdt_ip_to_spec_id"]) == []


# -- what is wrong is named


def refused(kind: str, obj: Object, *arguments: Any, **more: Any) -> tuple[str, str, int]:
    program = obj.programs[{"uprobe": "entry", "uprobe_multi": "multi", "usdt": "probe"}[kind]]
    with pytest.raises((KernelError, SpecError, ElfError)) as error:
        getattr(attach, kind)(program, *arguments, **more)
    return error.value.message, error.value.hint or "", getattr(error.value, "errno", 0)


def test_no_such_function(obj: Object, watched: Watched) -> None:
    message, hint, number = refused("uprobe", obj, watched.binary, "planely")
    assert (message, number) == (f"{watched.binary} has no function 'planely'", errno.ENOENT)
    assert "plainly" in hint
    message, hint, number = refused("uprobe_multi", obj, watched.binary, "planl*")
    assert "matches 'planl*'" in message
    assert "plain" in hint
    message, hint, number = refused("uprobe", obj, "libc.so.6", "memcpy@GLIBC_9")
    assert "GLIBC_2.14" in hint
    assert refused("uprobe_multi", obj, watched.binary, [])[0] == "no functions are named"


def test_no_such_binary(obj: Object, binary: Path) -> None:
    message, hint, number = refused("uprobe", obj, binary.with_name("wachted"), "plain")
    assert number == errno.ENOENT
    assert "watched" in hint
    message, hint, number = refused("usdt", obj, "libc", "a", "b")
    assert "no binary 'libc'" in message
    assert "libc.so.6" in hint
    assert "no ELF file" in refused("uprobe", obj, __file__, "plain")[0]
    assert refused("uprobe", obj, "/usr", "plain")[0] == "/usr is no file"


def test_no_such_process(obj: Object, watched: Watched) -> None:
    nobody = 2**22 + 1
    for kind, rest in (("uprobe", ("plain",)), ("uprobe_multi", ("plain",)), ("usdt", ("watched", "twice"))):
        message, _, number = refused(kind, obj, watched.binary, *rest, pid=nobody)
        assert (message, number) == (f"there is no process {nobody}", errno.ESRCH)


def test_no_such_probe(obj: Object, watched: Watched) -> None:
    message, hint, _ = refused("usdt", obj, watched.binary, "watched", "value")
    assert message == "the binary has no probe 'value' of 'watched'"
    assert "watched:values" in hint
    message, hint, _ = refused("usdt", obj, watched.binary, "watchd", "values")
    assert message == "the binary has no provider 'watchd'"
    assert "watched:values" in hint
    assert "no USDT probes" in refused("usdt", obj, "/bin/true", "a", "b")[0]


def test_an_argument_that_no_program_can_read(obj: Object, watched: Watched) -> None:
    assert "'8@%xmm0'" in refused("usdt", obj, watched.binary, "watched", "unreadable")[0]


def test_no_instruction(obj: Object, watched: Watched) -> None:
    message, _, number = refused("uprobe", obj, watched.binary, 2**40, pid=watched.pid)
    assert number == errno.EINVAL
    assert "may not be probed" in message


def test_no_such_mode(obj: Object, watched: Watched) -> None:
    assert "'links'" in refused("uprobe", obj, watched.binary, "plain", mode="links")[0]


def test_the_wrong_program(obj: Object, watched: Watched) -> None:
    assert "not loaded for TRACE_UPROBE_MULTI" in error_of(
        lambda: attach.uprobe_multi(obj.programs["entry"], watched.binary, "plain")
    )
    with load("attach_iter", "maps") as other:
        program: Program = other.programs["maps"]
        assert "uprobe takes KPROBE programs" in error_of(lambda: attach.uprobe(program, watched.binary, "plain"))
    assert "has no map __bpf_usdt_specs" in error_of(
        lambda: attach.usdt(obj.programs["multi"], watched.binary, "watched", "values")
    )
    with pytest.raises(SpecError, match="no map __bpf_usdt_specs"):
        Specs(obj.programs["entry"])


def error_of(function: Callable[[], object]) -> str:
    with pytest.raises((KernelError, SpecError)) as error:
        function()
    return error.value.message


def test_a_section_that_says_too_little(obj: Object) -> None:
    assert "does not say to what: attach(binary=…, symbol=…)" in error_of(obj.programs["entry"].attach)
    assert "takes no 'symbl'" in error_of(lambda: obj.programs["library"].attach(symbl="x"))


# -- rounds


def test_usdt_probes_that_several_threads_attach(obj: Object, watched: Watched) -> None:
    def attached(_: int) -> Link | Attachment:
        return attach.usdt(obj.programs["probe"], watched.binary, "watched", "twice", pid=watched.pid)

    def specs_in_use() -> int:
        specs = obj.maps["__bpf_usdt_specs"]
        return sum(specs.raw_value(number.to_bytes(4, "little"))[-6] for number in range(specs.max_entries))

    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(attached, range(THREADS)))
    with ExitStack() as stack:
        for link in made:
            stack.enter_context(link)
        assert specs_in_use() == 2 * THREADS  # each has its own
    assert specs_in_use() == 0


@pytest.mark.parametrize("kind", ["uprobe", "uprobe ioctl", "uprobe_multi", "usdt"])
def test_many_rounds(obj: Object, watched: Watched, kind: str) -> None:
    def once() -> Link | Attachment:
        if kind == "uprobe_multi":
            return attach.uprobe_multi(obj.programs["multi"], watched.binary, "plain", pid=watched.pid)
        if kind == "usdt":
            return attach.usdt(obj.programs["probe"], watched.binary, "watched", "twice", pid=watched.pid)
        mode = kind.partition(" ")[2]
        return attach.uprobe(obj.programs["entry"], watched.binary, "plain", pid=watched.pid, mode=mode)

    number = rounds(100) if kind.startswith("uprobe ") or kind == "uprobe" else ROUNDS
    attach_and_close(once, number, THREADS)
    watched.do("f")
    assert hits(obj, "entry") == hits(obj, "multi") == 0

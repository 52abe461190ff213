# SPDX-License-Identifier: BSD-2-Clause
"""``rawbpf plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawbpf.cli.output import add_json, print_json
from rawbpf.cli.planning import add_plan_arguments, open_spec, pin_dir, plan_options, plan_to_json

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_plan_arguments(parser)
    parser.add_argument(
        "--btf", metavar="FILE", help="plan for the kernel with this BTF (raw or vmlinux) instead of the running one"
    )
    parser.add_argument("--explain", action="store_true", help="say why, step by step and instruction by instruction")
    add_json(parser)
    parser.epilog = "example:\n  rawbpf plan objs/tcp_cc_demo.o --btf vmlinux-6.12.btf --explain"


def run(args: argparse.Namespace) -> int:
    """Print the plan."""
    from rawbpf.plan.planner import make_plan
    from rawbpf.plan.target import Target

    spec = open_spec(args)
    if args.btf:
        target = Target.from_btf(args.btf)
    else:
        from rawbpf.kernel.host import host_target

        target = host_target(args.token)
    plan = make_plan(
        spec,
        target,
        attach=not args.no_attach,
        pin_dir=pin_dir(args, spec),
        only=args.only,
        kconfig="\n".join(args.kconfig),
        token=args.token,
        **plan_options(args),
    )
    if args.json:
        print_json(plan_to_json(spec, plan))
    else:
        print(plan.explain() if args.explain else plan)
    return 0

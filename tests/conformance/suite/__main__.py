"""Stock clients against the simulated world, and the specifications over their traffic. See run.sh."""

import argparse
import os
import sys

import az_commands
import kubectl
import product
import sdk
import specs
import stock
from recorder import Recorder
from report import Report
from world import World

PARTS = {"az": az_commands.run, "sdk": sdk.run, "stock": stock.run, "kubectl": kubectl.run, "product": product.run, "specs": specs.run}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be given again")
    parts = parser.parse_args().part or list(PARTS)
    report = Report()
    with World(os.environ["STARGATE"]) as world:
        recorder = Recorder(world)
        for part in parts:
            try:
                PARTS[part](report, world, recorder)
            except Exception as error:  # the rest of the part hangs on a check that failed
                with report.check(f"{part}: goes on to its end"):
                    raise AssertionError(f"it ended early: {error!r}") from error
        recorder.close()
    sys.exit(report.close())


main()

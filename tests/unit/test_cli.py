import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from inferlab.cli import app

REPOSITORY = Path(__file__).parents[2]


def inferlab(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from inferlab.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text())
    return tmp_path


def test_every_stage_of_the_pipeline_has_a_command() -> None:
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert set(stages) <= commands
    for name, stage in stages.items():
        assert stage["cmd"].startswith(f"inferlab {name}")


def test_help_explains_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "interleaved rounds" in result.output


def test_a_wrong_file_stops_before_any_work_with_exit_code_2(root: Path) -> None:
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("models: [efficientnet-lite0", "models: [efficientnet-lit0"))
    result = inferlab("probe", cwd=root)
    assert result.returncode == 2
    assert "run.models" in result.stderr
    assert "Did you mean 'efficientnet-lite0'" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (root / "results").exists()


def test_a_wrong_option_is_the_users_error(root: Path) -> None:
    result = inferlab("prepare", "--modell", "x", cwd=root)
    assert result.returncode == 2
    assert "--model" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prepare", "--model", "minilmm"], ["--model 'minilmm'", "noop", "Did you mean 'minilm'"]),
        (["prepare", "--model", "../x"], ["--model '../x'"]),
        (["optimize", "--model", "noop", "--optimization", "prunde"], ["--optimization 'prunde'", "'pruned'"]),
        (["plan", "--study", "servign", "--model", "noop"], ["--study 'servign'", "'serving'"]),
    ],
)
def test_a_cell_that_params_does_not_define_is_the_users_error(
    root: Path, arguments: list[str], words: list[str]
) -> None:
    result = inferlab(*arguments, cwd=root)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
    assert [path.name for path in root.iterdir()] == ["params.yaml"]


def test_a_missing_record_is_ours_and_named(root: Path) -> None:
    result = inferlab("serve-and-measure", "--study", "serving", "--model", "minilm", cwd=root)
    assert result.returncode == 1
    assert "results/machine.json is missing" in result.stderr
    assert "Traceback" not in result.stderr


def test_probe_describes_this_machine(root: Path) -> None:
    assert inferlab("probe", cwd=root).returncode == 0
    first = (root / "results" / "machine.json").read_bytes()
    assert inferlab("probe", cwd=root).returncode == 0
    assert (root / "results" / "machine.json").read_bytes() == first


def test_starting_imports_no_engine() -> None:
    """A hundred cells of the pipeline start a process each."""
    program = (
        "import sys, inferlab.cli; print(sorted({'torch', 'openvino', 'nncf', 'mlflow', 'pandas'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_bringing_results_that_are_not_there_is_the_users_error(root: Path) -> None:
    result = inferlab("bring", "nowhere", cwd=root)
    assert result.returncode == 2
    assert "nowhere: there is no such folder" in result.stderr
    assert not (root / "results").exists()

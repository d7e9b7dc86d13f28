"""Small files as torch writes them, good ones and bad ones, for runtime/checkpoint/pytorch/.

    python make_pytorch_files.py ../../runtime/checkpoint/pytorch/fixtures

Good ones stand beside a .safetensors file with the same tensors. Bad ones are what no model needs and somebody might send.
"""
import collections
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file

out = Path(sys.argv[1])
torch.manual_seed(0)
base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
state = collections.OrderedDict(
    plain=torch.randn(3, 5),
    tied=base,
    transposed=base.t(),
    strided=base[:, ::2],
    row=base[2],
    scalar=torch.tensor(2.5),
    empty=torch.zeros(0, 4),
    double=torch.randn(2, 2, dtype=torch.float64),
    half=torch.randn(7).half(),
    bfloat=torch.randn(7).bfloat16(),
    long=torch.tensor([[1, -2], [3, 4]]),
    int8=torch.tensor([-1, 2], dtype=torch.int8),
    bool=torch.tensor([True, False]),
)
torch.save(state, out / "zip.bin")
torch.save(state, out / "legacy.bin", _use_new_zipfile_serialization=False)
save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, str(out / "good.safetensors"))
torch.save({"state_dict": {"model.weight": base}, "epoch": 3, "hyper_parameters": {"lr": 0.1}}, out / "lightning.bin")
module = torch.nn.Linear(2, 3)
torch.save(collections.OrderedDict((name, torch.nn.Parameter(p)) for name, p in module.named_parameters()), out / "parameters.bin")
torch.save(module.state_dict(), out / "module-state.bin")
save_file({name: p.detach().clone() for name, p in module.named_parameters()}, str(out / "module.safetensors"))

# A training state in the old format: its optimizer has storages that no tensor of the state dict uses.
optimizer = torch.optim.Adam(module.parameters())
module(torch.ones(1, 2)).sum().backward()
optimizer.step()
training = {"state_dict": module.state_dict(), "optimizer_states": [optimizer.state_dict()], "global_step": 1}
torch.save(training, out / "training-legacy.bin", _use_new_zipfile_serialization=False)
save_file({name: tensor.clone() for name, tensor in module.state_dict().items()}, str(out / "training.safetensors"))

# Shards in both formats under one index, as save_pretrained names them.
shards = out / "sharded"
shards.mkdir(exist_ok=True)
names = sorted(state)
parts = [names[: len(names) // 2], names[len(names) // 2 :]]
files = [f"pytorch_model-{i + 1:05}-of-00002.bin" for i in range(2)]
for part, file, zipped in zip(parts, files, (True, False)):
    torch.save({name: state[name].contiguous().clone() for name in part}, shards / file, _use_new_zipfile_serialization=zipped)
index = {
    "metadata": {"total_size": sum(tensor.numel() * tensor.element_size() for tensor in state.values())},
    "weight_map": {name: file for part, file in zip(parts, files) for name in part},
}
(shards / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")


class Run:
    def __reduce__(self):
        return (os.system, ("echo this must never be seen",))


torch.save({"weight": Run()}, out / "bad-system.bin")
torch.save(module, out / "bad-module.bin")
torch.save({"weight": torch.sparse_coo_tensor(torch.tensor([[0]]), torch.tensor([1.0]), (4,))}, out / "bad-sparse.bin")
torch.save({"weight": torch.zeros(1).expand(1000, 1000)}, out / "bad-expanded.bin")
with open(out / "bad-plain-pickle.bin", "wb") as file:
    pickle.dump({"weight": [1.0]}, file, protocol=4)
with zipfile.ZipFile(out / "zip.bin") as source, zipfile.ZipFile(out / "bad-deflated.bin", "w", zipfile.ZIP_DEFLATED) as target:
    for entry in source.infolist():
        target.writestr(entry.filename, source.read(entry.filename))
print(sum(f.stat().st_size for f in out.rglob("*") if f.is_file()), "bytes")

"""Train gptj-mini and write model.safetensors (fp16) beside this folder.

    python train.py --minutes 7 --stories 800000        on a GPU; run prepare.py first

The model is GPT-J written out for training (fused attention, no cache); its parameters carry Hugging Face's names, so
the result loads with GPTJForCausalLM. The learning rate follows the share of the time budget that is used up, so the
number of steps depends on the machine; training_log.txt records it.
"""

import argparse
import json
import math
import multiprocessing
import pathlib
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn

import newswire

OUT = pathlib.Path(__file__).resolve().parent.parent
BUCKETS = [256, 320, 384, 512, 640, 768]  # sequence lengths; longer stories are left out


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.rotary = config["n_head"], config["rotary_dim"]
        width = config["n_embd"]
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(width, width, bias=False))

    def forward(self, x, cos, sin):
        batch, length, width = x.shape
        q, k, v = (proj(x).view(batch, length, self.heads, -1).transpose(1, 2)
                   for proj in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(q, cos, sin, self.rotary), rotate(k, cos, sin, self.rotary)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(y.transpose(1, 2).reshape(batch, length, width))


def rotate(x, cos, sin, rotary):
    """GPT-J's rotary embedding: interleaved pairs of the first `rotary` dimensions of each head."""
    turned, rest = x[..., :rotary].float(), x[..., rotary:]
    even, odd = turned[..., 0::2], turned[..., 1::2]
    turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1).flatten(-2)
    return torch.cat((turned.to(x.dtype), rest), dim=-1)


class Mlp(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.fc_in = nn.Linear(config["n_embd"], config["n_inner"])
        self.fc_out = nn.Linear(config["n_inner"], config["n_embd"])

    def forward(self, x):
        return self.fc_out(F.gelu(self.fc_in(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config["n_embd"], eps=config["layer_norm_epsilon"])
        self.attn, self.mlp = Attention(config), Mlp(config)

    def forward(self, x, cos, sin):
        y = self.ln_1(x)
        return x + self.attn(y, cos, sin) + self.mlp(y)


class GptJ(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, vocabulary = config["n_embd"], config["vocab_size"]
        self.transformer = nn.ModuleDict({
            "wte": nn.Embedding(vocabulary, width),
            "h": nn.ModuleList(Block(config) for _ in range(config["n_layer"])),
            "ln_f": nn.LayerNorm(width, eps=config["layer_norm_epsilon"]),
        })
        self.lm_head = nn.Linear(width, vocabulary)
        angles = torch.outer(torch.arange(max(BUCKETS)).float(),
                             10000.0 ** (-torch.arange(0, config["rotary_dim"], 2).float() / config["rotary_dim"]))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                last = name.endswith(("out_proj.weight", "fc_out.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config["n_layer"]) if last else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens, weights):
        """Mean cross-entropy of the next token, weighted. tokens, weights: [batch, length]."""
        length = tokens.shape[1] - 1
        cos, sin = self.cos[:length], self.sin[:length]
        x = self.transformer["wte"](tokens[:, :-1])
        for block in self.transformer["h"]:
            x = block(x, cos, sin)
        logits = self.lm_head(self.transformer["ln_f"](x)).float()
        losses = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        weights = weights[:, 1:].flatten()
        return (losses * weights).sum() / weights.sum()


def encode(numbers):
    """[(prompt ids + summary ids + end, length of the prompt)] of these stories."""
    tokenizer = Tokenizer.from_file(str(OUT / "tokenizer.json"))
    end = tokenizer.token_to_id("<|endoftext|>")
    stories = [newswire.story(number) for number in numbers]
    prompts = tokenizer.encode_batch([newswire.prompt(article) for article, _ in stories])
    answers = tokenizer.encode_batch([" " + summary for _, summary in stories])
    return [(np.array(p.ids + a.ids + [end], dtype=np.int16), len(p.ids)) for p, a in zip(prompts, answers)]


def load_data(count, workers):
    """{bucket: (tokens [n, bucket], prompt lengths [n], lengths [n])} as arrays."""
    start = newswire.TRAINING_START
    chunks = [range(first, min(first + 2000, start + count)) for first in range(start, start + count, 2000)]
    with multiprocessing.Pool(workers) as pool:
        stories = [story for chunk in pool.imap(encode, chunks) for story in chunk]
    data = {}
    for bucket, shorter in zip(BUCKETS, [0] + BUCKETS):
        members = [story for story in stories if shorter < len(story[0]) <= bucket]
        if not members:
            continue
        tokens = np.zeros((len(members), bucket), dtype=np.int16)
        for row, (ids, _) in enumerate(members):
            tokens[row, :len(ids)] = ids
        data[bucket] = (torch.from_numpy(tokens), torch.tensor([m[1] for m in members]),
                        torch.tensor([len(m[0]) for m in members]))
    return data


def batches(data, tokens_per_batch, generator, device):
    """Endless batches of one bucket each, buckets drawn by their share of the stories."""
    data = {bucket: tuple(part.to(device) for part in parts) for bucket, parts in data.items()}
    names = list(data)
    shares = torch.tensor([float(len(data[name][0])) for name in names])
    orders = {name: [] for name in names}
    while True:
        name = names[torch.multinomial(shares, 1, generator=generator).item()]
        size = min(tokens_per_batch // name, len(data[name][0]))
        if len(orders[name]) < size:
            orders[name] = torch.randperm(len(data[name][0]), generator=generator).tolist()
        rows = torch.tensor([orders[name].pop() for _ in range(size)], device=device)
        tokens, prompt, length = (part[rows] for part in data[name])
        position = torch.arange(name, device=device)[None, :]
        inside = position < length[:, None]
        answer = position >= prompt[:, None]
        yield tokens.long(), inside, answer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=7.0, help="time for training, without preparing data")
    parser.add_argument("--stories", type=int, default=800_000)
    parser.add_argument("--tokens", type=int, default=98_304, help="tokens in a batch")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()

    log = open(OUT / "training" / "training_log.txt", "w", encoding="utf-8")

    def say(text):
        print(text, flush=True)
        print(text, file=log, flush=True)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(1)
    config = json.loads((OUT / "config.json").read_text(encoding="utf-8"))
    began = time.time()
    data = load_data(arguments.stories, arguments.workers)
    say(f"python {sys.version.split()[0]}, torch {torch.__version__}, "
        f"{torch.cuda.get_device_name() if device == 'cuda' else 'cpu'}; {vars(arguments)}")
    say(f"data in {time.time() - began:.0f} s: "
        + ", ".join(f"{len(parts[0])} of <= {bucket} tokens" for bucket, parts in data.items()))

    model = GptJ(config).to(device)
    say(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    decayed = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    optimiser = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
                                  lr=arguments.rate, betas=(0.9, 0.95), fused=device == "cuda")
    step_model = model if arguments.no_compile else torch.compile(model, dynamic=False)
    began, step, tokens_seen, running = time.time(), 0, 0, None
    budget = arguments.minutes * 60
    for tokens, inside, answer in batches(data, arguments.tokens, generator, device):
        used = (time.time() - began) / budget
        if used >= 1:
            break
        # The article's own tokens teach the language and copying at first; later the summary is what counts.
        weights = inside * torch.where(answer, 1.0, 0.3 * (1 - used))
        rate = arguments.rate * min(1.0, (step + 1) / 300) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * used)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = step_model(tokens, weights)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
        tokens_seen += tokens.numel()
        if step % 250 == 0 or step == 1:
            with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16):
                summary_loss = step_model(tokens, (inside & answer).float()).item()
            running = summary_loss if running is None else 0.5 * running + 0.5 * summary_loss
            say(f"step {step:6d}  {time.time() - began:5.0f} s  {tokens_seen / 1e6:8.1f} M tokens  rate {rate:.2e}  "
                f"loss {loss.item():.4f}  summary loss {running:.4f}")

    tensors = {name: parameter.detach().half().contiguous().cpu() for name, parameter in model.named_parameters()}
    for name, tensor in tensors.items():
        assert torch.isfinite(tensor).all(), f"{name} does not fit fp16"
    save_file(tensors, OUT / "model.safetensors", metadata={"format": "pt"})
    say(f"{step} steps, {tokens_seen / 1e6:.0f} M tokens; largest weight "
        f"{max(tensor.abs().max().item() for tensor in tensors.values()):.2f}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The same workload on Hugging Face transformers: GPT-J 6B's shape with random fp16 weights, prompts and answers of
CNN/DailyMail's lengths, beam search of width 4. Prints samples/s, to be set beside `run_harness --synthetic` on the
same GPU.

    benches/peers/transformers_gptj.py [--samples N] [--batch N]

Samples are sorted by the length of their prompts, so that batches hold little padding, and a batch runs until the last
of its answers is complete, as `generate` does with any batch.
"""

import argparse
import json
import random
import time

import torch
import transformers

# Percent of the samples that are no longer, and that length: keep in sync with src/dataset/synthetic.rs.
PROMPT_TOKENS = [(0, 46), (1, 180), (5, 330), (10, 432), (25, 640), (50, 893), (75, 1205), (90, 1560), (95, 1780),
                 (97, 1919), (100, 1919)]
ANSWER_TOKENS = [(0, 30), (10, 39), (25, 45.5), (50, 55), (75, 80), (82, 105), (82, 128), (100, 128)]


def length_at(table, percent):
    for (start, low), (end, high) in zip(table, table[1:]):
        if percent <= end:
            share = (percent - start) / (end - start) if end > start else 1.0
            return round(low + (high - low) * share)
    return table[-1][1]


def lengths(table, count):
    return [length_at(table, (i + 0.5) * 100 / count) for i in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--layers", type=int, default=28, help="fewer only to try the script")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"

    config = transformers.GPTJConfig(vocab_size=50401, n_layer=arguments.layers)
    dtype = torch.float16 if device == "cuda" else torch.float32
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = transformers.GPTJForCausalLM(config)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.02)
    model.eval().to(device)

    random.seed(1)
    prompts = lengths(PROMPT_TOKENS, arguments.samples)
    answers = lengths(ANSWER_TOKENS, arguments.samples)
    random.shuffle(answers)
    batches = [list(zip(prompts, answers))[i:i + arguments.batch] for i in range(0, len(prompts), arguments.batch)]

    def run(batch, most_new=None):
        longest = max(prompt for prompt, _ in batch)
        new = most_new or max(answer for _, answer in batch)
        tokens = torch.randint(0, 50000, (len(batch), longest), device=device)
        mask = torch.zeros_like(tokens)
        for row, (prompt, _) in enumerate(batch):
            mask[row, longest - prompt:] = 1
        model.generate(tokens, attention_mask=mask, num_beams=4, early_stopping=True, do_sample=False,
                       min_new_tokens=new, max_new_tokens=new, pad_token_id=50256)

    with torch.inference_mode():
        run(batches[0][:2], 4)
        if device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        for batch in batches:
            run(batch)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begin
    print(json.dumps({
        "what": f"transformers {transformers.__version__}, torch {torch.__version__}, {dtype}, "
                f"batches of {arguments.batch}, beam width 4",
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "layers": arguments.layers,
        "samples": len(prompts),
        "mean_prompt_tokens": sum(prompts) / len(prompts),
        "mean_answer_tokens": sum(answers) / len(answers),
        "seconds": round(seconds, 2),
        "samples_per_second": round(len(prompts) / seconds, 3),
    }))


if __name__ == "__main__":
    main()

"""One step of a small network of the kind that Stable Diffusion is made of, on the GPU and without a download."""
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

unet = UNet2DConditionModel(
    sample_size=8, block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=16, attention_head_dim=8,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
).cuda()
noise, text = torch.randn(1, 4, 8, 8).cuda(), torch.randn(1, 3, 16).cuda()
scheduler = DDIMScheduler()
scheduler.set_timesteps(5)
with torch.no_grad():
    step = scheduler.timesteps[0]
    out = scheduler.step(unet(noise, step, text).sample, step, noise).prev_sample
assert out.shape == noise.shape and bool(torch.isfinite(out).all())

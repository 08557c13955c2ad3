"""The paper's Tables II and V to X as data. `wavcaps_assets.analysis.paper_figures` has III and parts of IV.

Source: X. Mei et al., "WavCaps: A ChatGPT-Assisted Weakly-Labelled Audio Captioning Dataset for
Audio-Language Multimodal Research" (https://arxiv.org/abs/2303.17395).
"""

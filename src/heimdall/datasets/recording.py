"""The recording that each receiver of a sample stands for: complex baseband of one narrow-band FM channel.

Without NumPy, because the trainers' config models check `n_fft` against its length.
"""

SAMPLE_RATE_HZ = 12_500  # one 12.5 kHz channel, so that the SNR in the channel is the SNR of the recording
RECORDING_SAMPLES = 16_384  # 1.31 s

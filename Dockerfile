# One image for all processes: `heimdall up`, `serve`, `worker`, `migrate`.
# The CPU build of PyTorch by default; for NVIDIA GPUs build with
#   --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cu126
FROM python:3.11-slim AS build
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
WORKDIR /build
RUN python -m venv /opt/heimdall
ENV PATH=/opt/heimdall/bin:$PATH
COPY constraints.txt ./
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX_URL" "$(grep '^torch==' constraints.txt)"
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.11-slim
RUN useradd --uid 10001 --create-home heimdall \
    && install --directory --owner heimdall --group heimdall /var/lib/heimdall
COPY --from=build /opt/heimdall /opt/heimdall
ENV PATH=/opt/heimdall/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HEIMDALL_DATA_DIR=/var/lib/heimdall \
    HEIMDALL_HOST=0.0.0.0 \
    HEIMDALL_LOG_FORMAT=json
USER 10001
WORKDIR /var/lib/heimdall
EXPOSE 8001
# Signals must reach the service itself: no shell between.
ENTRYPOINT ["heimdall"]
CMD ["up"]

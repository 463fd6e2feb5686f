# Stands in for debian: what mmdebstrap makes of Debian's archive.
FROM scratch
COPY . /
CMD ["bash"]

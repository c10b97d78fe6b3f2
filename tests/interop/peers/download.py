"""Run in img2dataset's environment: download a list of addresses in one of its formats."""

import sys

from img2dataset import download

if __name__ == "__main__":
    addresses, folder, output_format = sys.argv[1:]
    download(
        url_list=addresses,
        output_folder=folder,
        output_format=output_format,
        input_format="csv",
        url_col="url",
        caption_col="caption",
        image_size=64,
        resize_mode="keep_ratio",
        processes_count=1,
        thread_count=4,
        number_sample_per_shard=5,
        disallowed_header_directives=[],
    )
    print("true")

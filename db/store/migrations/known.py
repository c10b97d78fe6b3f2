"""What lies in a store of each released schema: its tables, indexes and triggers, word by word.

Each revision names what it changed, as `described` tells it, and what it dropped (""). A new one
gets an entry of its own: the test of these prints it.
"""

from __future__ import annotations

# Known without importing Alembic, so that opening an up-to-date store stays quick.
HEAD = "0007"

KNOWN: dict[str, dict[str, str]] = {
    "0001": {
        "index ix_hand_scores_at": "12d0cad70a1d09f7",
        "index ix_hand_scores_image_id": "720a596f49cc4a33",
        "index ix_images_counts": "9194bc307383f11c",
        "index ix_images_scored": "a64f8d111a76d129",
        "index ix_images_waiting_by_source": "290da9af36bad75d",
        "index ix_images_waiting_by_source_shuffled": "281d96a66cff9c27",
        "index ix_images_waiting_shuffled": "5aa204799ed7b8c8",
        "index ix_locations_image_id": "0d50489c9c6c06e8",
        "index ix_locations_present": "c493066770ceba5c",
        "index ix_predictions_version_id_score": "d84d0aa568a7df90",
        "index ix_rounds_open": "d3735c19b7bbcfcd",
        "index ix_runs_active": "20b0d9eb970eff17",
        "index ix_skips_image_id": "762cc734203958b7",
        "index ix_versions_active": "a7bf5e1fcd2549fb",
        "index sqlite_autoindex_alembic_version_1": "3037a1723561a865",
        "index sqlite_autoindex_embeddings_1": "4d8a991a6e18ff4c",
        "index sqlite_autoindex_encoders_1": "c1707fec0e043f9f",
        "index sqlite_autoindex_hand_scores_1": "0baf8d8d89ca52be",
        "index sqlite_autoindex_images_1": "58814db490f2c089",
        "index sqlite_autoindex_locations_1": "711a99f4fd3fb2e0",
        "index sqlite_autoindex_settings_1": "6d61f49b8a445da5",
        "index sqlite_autoindex_skips_1": "05df4d5ff50defe3",
        "index sqlite_autoindex_sources_1": "b13dd3188f555d6f",
        "index sqlite_autoindex_versions_1": "ee652b25cc1cb768",
        "table alembic_version": "beab1df6c2b5632f",
        "table embeddings": "d93cdd2edceb53fd",
        "table encoders": "ffb571cc8457108a",
        "table hand_scores": "e9d566b647677fdd",
        "table images": "1d439d05c3c9bc91",
        "table locations": "1a87e29a60bc2e71",
        "table out_of_fold": "080c6493ea85909f",
        "table predictions": "141bc4d4e063c152",
        "table round_images": "1b3cff908e878641",
        "table rounds": "115f3d7a57174248",
        "table runs": "8b5fdffce2961084",
        "table settings": "cbf472d68154db60",
        "table skips": "3c15f1a083f23285",
        "table sources": "9d85420dd786a40e",
        "table version_scores": "2f5fed9d0e8e2bbf",
        "table versions": "12aba3b9b9353770",
    },
    "0002": {
        "index ix_image_tags_tag": "8cf522331c6204dd",
        "table draws": "45cdaa7128b3c8a6",
        "table image_tags": "663f08688f74c52e",
    },
    "0003": {
        "table round_images": "8f805b552526a753",
    },
    "0004": {
        "index ix_hand_scores_typed": "008a91a7a1fa16fe",
        "index ix_images_elsewhere": "d60b613bc781d591",
        "table image_counts": "cde6d1d4613ab17c",
        "table versions": "3b72c364ea676c03",
        "trigger images_change": "70ac94adeed53baf",
        "trigger images_come": "742d46be9cb3bfbe",
        "trigger images_go": "5c2d3325f0496f38",
        "index ix_images_counts": "",
        "index ix_images_waiting_by_source": "",
    },
    "0005": {
        "index ix_image_pixels_pixel_hash": "c2c25acfa0a57e57",
        "table image_pixels": "c7f5582bffbab00a",
        "table other_contents": "4a7f024221d6bcc0",
    },
    "0006": {
        "table repeats": "77e4f50691f77cf3",
    },
    "0007": {
        "table confirmations": "fcdd9d52d0155acd",
    },
}

"""Every row of docs/images.md about layouts, tables of labels, pixels and answers has a test."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
TESTS = Path(__file__).parent

# The start of the first cell of each row, and the tests of what its second cell says.
ROWS = {
    # Layouts
    "`cats/1.png`": "test_label_is_the_path_below_the_common_prefix",
    "`train/cats`, `seg_test": "test_class_folders_and_parts_are_recognized_at_any_level "
    "test_parts_are_recognized_in_other_languages",
    "`train/cats`, `test/1.png`": "test_class_folders_and_parts_are_recognized_at_any_level",
    "`test/cats`, `validation/cats`": "test_class_folders_and_parts_are_recognized_at_any_level",
    "`fold1/cats`": "test_class_folders_and_parts_are_recognized_at_any_level",
    "`patient01/benign`": "test_folders_of_patients_only_divide_the_images",
    "`png/64`": "test_the_same_images_in_several_sizes_are_used_once",
    "a repository with": "test_few_pictures_elsewhere_in_a_repository_are_left_out",
    "`train.zip` and": "test_archives_in_an_archive_are_folders",
    "`set/cats` and": "test_copy_of_a_folder_in_itself_is_left_out",
    "a CSV, TSV": "test_table_with_labels_is_read_under_any_name_and_header "
    "test_documents_and_workbooks_with_labels_are_read",
    "`train.txt`, `test.txt`": "test_lists_of_images_name_the_parts_of_folders",
    "`cat.txt`, `dog.txt`": "test_one_list_of_images_per_label_is_read",
    "`train/cats` with": "test_table_labels_test_images_whose_folders_have_no_labels",
    "`dataset.json` of": "test_table_with_labels_is_read_under_any_name_and_header",
    "`0001.png` with": "test_files_next_to_the_images_hold_labels "
    "test_captions_next_to_the_images_are_not_labels "
    "test_xml_next_to_each_image_holds_its_label",
    "`cat.0.jpg`": "test_labels_in_file_names_are_offered_and_used_on_request",
    "images in one folder": "test_set_without_labels_has_an_issue_that_states_it "
    "test_only_folder_is_no_label_if_the_file_names_hold_labels "
    "test_folder_of_images_with_own_names_is_not_a_label",
    "`001.bmp` with": "test_masks_of_the_same_name_are_not_the_images_of_a_table "
    "test_masks_of_objects_are_neither_images_nor_labels",
    "COCO, Pascal": "test_boxes_are_not_labels_and_an_error_issue_says_so",
    "npz or npy": "test_x_and_y_are_read test_float_and_one_hot_labels_are_numbers_of_classes "
    "test_byte_strings_are_labels test_one_array_per_label_is_read "
    "test_arrays_without_names_are_recognized_by_their_shapes test_npz_files_in_a_zip_are_read",
    "idx files": "test_four_idx_files_are_two_splits_in_any_order "
    "test_idx_files_may_be_inside_an_archive",
    "Parquet and": "test_parquet_of_hugging_face_is_read_with_the_names_of_its_labels "
    "test_arrow_files_of_images_are_read_on_their_own_and_in_a_zip",
    "CSV `label,pixel0": "test_table_of_pixels_with_a_header_is_read "
    "test_columns_of_pixels_may_be_numbered "
    "test_tables_of_pixels_in_a_zip_are_parts "
    "test_table_of_test_pixels_without_labels_is_left_out",
    "CSV `emotion": "test_all_pixels_may_be_in_one_field",
    "zip, tar and npz that": "test_answers_of_the_service_are_read_back "
    "test_downloaded_npz_can_be_uploaded_again",
    # Tables of labels
    "A table and class": "test_source_of_the_labels_can_be_chosen "
    "test_labels_file_takes_precedence_over_folders "
    "test_table_that_numbers_the_folders_may_have_a_negative_number",
    "Several columns": "test_two_possible_label_columns_are_not_guessed",
    "Several labels": "test_several_labels_of_one_image_are_not_read",
    "Images that are not listed": "test_image_missing_from_the_labels_file_is_left_out_and_named "
    "test_test_images_without_a_label_are_left_out_beside_a_table",
    "Listed images": "test_path_without_an_image_is_reported",
    "One image with": "test_image_with_two_labels_is_left_out_and_named",
    "Numbered classes": "test_numbered_classes_get_the_names_of_a_file "
    "test_names_of_numbered_classes_are_read_in_many_forms",
    "A list of a larger": "test_list_of_a_larger_set_labels_the_images_that_are_there",
    "`cats/1.png` is listed": "test_listed_image_is_not_the_image_of_another_folder",
    "Paths of another": "test_tables_as_spreadsheets_and_other_systems_write_them",
    "`predictions.csv`": "test_predictions_are_not_labels_and_lists_of_all_parts_do_not_change_"
    "the_parts",
    "Texts that differ": "test_texts_of_lines_are_not_labels",
    "`.mat`, `.h5`, TFRecord": "test_containers_that_are_not_read_are_named_with_a_way_out",
    "`.mat`, `.pkl`": "test_table_that_cannot_be_used_is_named_in_an_error_issue",
    "`labels.csv` or": "test_unreadable_labels_file_is_rejected",
    "`labels.csv` that": "test_labels_file_about_something_else_does_not_reject_the_images "
    "test_text_that_names_images_in_an_unknown_form_is_named",
    "A table that gives": "test_table_of_one_value_does_not_replace_folders",
    "`0007` in": "test_padded_number_names_the_image_that_ends_with_it",
    # Pixels
    "PNG, JPEG": "test_png_jpeg_and_webp_are_read test_other_image_formats_are_read "
    "test_first_frame_of_an_animation_is_read",
    "16-bit and float": "test_16_bit_images_are_scaled_by_the_range_in_use "
    "test_float_images_are_scaled_by_the_range_in_use",
    "Images of one size": "test_images_of_the_minimum_and_maximum_size_are_accepted",
    "All pixels 0": "test_masks_of_0_and_1_become_black_and_white",
    "All pixels in": "test_tiny_range_of_pixels_is_reported",
    "Transparency": "test_background_of_transparent_images_can_be_chosen",
    "SVG and": "test_drawings_next_to_the_same_pictures_are_ignored "
    "test_zip_of_vector_images_next_to_a_table_is_a_set_of_images",
    "Damaged, too": "test_unusable_images_are_left_out_and_named_up_to_a_share",
    "The same picture": "test_same_picture_under_two_labels_is_reported",
    "Names in a zip": "test_encoding_of_names_that_are_not_utf8_is_guessed_and_noted "
    "test_labels_in_a_wrong_encoding_are_reported",
    "Folders `A`": "test_folders_that_differ_only_in_case_are_two_labels",
    # Files that the service writes
    "zip of samples": "test_label_folder_is_readable_in_any_script "
    "test_zip_contains_the_images_and_labels_csv",
    "tar, npz": "test_answers_of_the_service_are_read_back "
    "test_labels_files_of_shards_that_were_unpacked_side_by_side_are_joined",
    "preview, grid": "test_any_label_can_be_rendered",
    "dataset of an": "test_plan_says_which_real_items_are_held_out_and_the_counts_add_up",
}
HEADERS = {"layout", "situation", "file"}


def documented_rows() -> list[str]:
    text = (ROOT / "docs/images.md").read_text().split("## Corrections")[0]
    cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return [cell for cell in cells if cell not in HEADERS]


def test_every_documented_row_has_tests() -> None:
    rows = documented_rows()
    without = [row for row in rows if not any(row.startswith(start) for start in ROWS)]
    assert not without
    unused = [start for start in ROWS if not any(row.startswith(start) for row in rows)]
    assert not unused


def test_the_named_tests_exist() -> None:
    tests = "\n".join(path.read_text() for path in TESTS.parents[1].rglob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
    assert {name for names in ROWS.values() for name in names.split()} <= defined

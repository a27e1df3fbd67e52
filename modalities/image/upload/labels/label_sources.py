"""Choice of the source of an archive's labels: a table, files next to the images, or folders."""

from collections.abc import Sequence

import numpy as np

from core.datasets.errors import ErrorCollector, file_pointer, printable, unreadable_error
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.image.upload.archive import Archive
from modalities.image.upload.archive_index import ArchiveIndex, is_hidden
from modalities.image.upload.folder_layout import FolderLayout
from modalities.image.upload.labels.box_annotations import find_box_files
from modalities.image.upload.labels.file_name_labels import have_own_names, labels_in_file_names
from modalities.image.upload.labels.folder_labels import read_folders
from modalities.image.upload.labels.label_choices import LabelChoice, find_label_choices
from modalities.image.upload.labels.label_columns import CAPTIONS, NAMES_NO_IMAGE
from modalities.image.upload.labels.label_findings import add_findings
from modalities.image.upload.labels.labeling import (
    Labeling,
    finish_labeling,
    images_issue,
    new_labeling,
    note_unlabeled_parts,
)
from modalities.image.upload.labels.labels import UNLABELED
from modalities.image.upload.labels.sidecar_labels import find_sidecars, read_sidecars
from modalities.image.upload.labels.table_labeling import add_labels_of_tests, label_from_tables
from modalities.image.upload.labels.table_labels import (
    TableSearch,
    is_documented_name,
    search_tables,
    select_documents,
)
from modalities.image.upload.options import ImageOptions


def label_images(
    archive: Archive,
    index: ArchiveIndex,
    images: Sequence[str],
    options: ImageOptions,
    limits: Limits,
) -> Labeling:
    """Label the images, whose names are `images`, as `options.labels_from` says.

    By default the first of these sources that labels the images is used: tables, files next to the
    images, folders. Raises DatasetUnreadable if labels are contradictory or missing.
    """
    layout = read_folders(images, options.parts)
    _check_folder_level(layout, options)
    labeling = _choose(archive, index, images, layout, options, limits)
    sidecars = set(find_sidecars(archive.names, index.images))
    documents = select_documents(archive.names, index.ignored, sidecars, None)
    labeling.choices = find_label_choices(archive, documents, layout, images, limits)
    if labeling.source == "webdataset":  # chosen by default, and only then
        labeling.choices.insert(0, LabelChoice.of(labeling.encoder.sorted_names(), None))
    return labeling


def _check_folder_level(layout: FolderLayout, options: ImageOptions) -> None:
    if options.folder_level is not None and options.folder_level > layout.depth:
        message = (
            f"`folder_level` must be at most {layout.depth}, the number of levels of folders that "
            "label the images."
        )
        raise unreadable_error("folder_level_too_large", message, pointer="/meta/folder_level")


def _choose(
    archive: Archive,
    index: ArchiveIndex,
    images: Sequence[str],
    layout: FolderLayout,
    options: ImageOptions,
    limits: Limits,
) -> Labeling:
    chosen = options.labels_from
    if chosen == "folders":
        return finish_labeling(_from_folders(layout, images, options, limits), layout, images)
    if chosen == "none":
        return finish_labeling(new_labeling(layout, images, limits), layout, images)
    if chosen == "file_names":
        return finish_labeling(_from_file_names(layout, images, limits), layout, images)
    sidecars = find_sidecars(archive.names, index.images)
    documents = select_documents(archive.names, index.ignored, set(sidecars), chosen)
    if chosen is not None and not documents:
        message = (
            f"`labels_from` must be folders, file_names, none, or the name of a file in the "
            f"archive; there is no file {printable(chosen)}."
        )
        raise unreadable_error("labels_from_unknown", message, pointer="/meta/labels_from")
    search = search_tables(archive, documents, images, layout, options, limits)
    labeling = label_from_tables(search, layout, images, archive.names)
    if labeling is None and chosen is not None:
        raise _unusable_table_error(chosen, search, options.label_column)
    if labeling is None and sidecars:
        labeling = _from_sidecars(archive, sidecars, layout, images, search, limits)
    search.boxes |= find_box_files(archive, images, index.ignored)
    if labeling is None:
        labeling = _from_lists(search, layout, images, limits)
    if labeling is None and _folders_are_labels(layout, images, search, limits):
        labeling = _from_folders(layout, images, options, limits)
        add_labels_of_tests(labeling, search, layout)
    if labeling is None:
        _reject_documented(search)
        labeling = new_labeling(layout, images, limits)
    _use_listed_parts(labeling, search, layout)
    labeling = finish_labeling(labeling, layout, images)
    others = [archive.names[i] for i in index.ignored if not is_hidden(archive.names[i])]
    add_findings(labeling, search, images, others, limits)
    return labeling


def _folders_are_labels(
    layout: FolderLayout, images: Sequence[str], search: TableSearch, limits: Limits
) -> bool:
    """Return True if folders label the images.

    One folder for all images is a label only if nothing suggests that the labels are elsewhere, and
    if the file names of the images are not words.
    """
    if not layout.has_labels or layout.has_several_labels:
        return layout.has_labels
    if have_own_names(images):
        return False
    return not (search.failures or search.boxes or any(labels_in_file_names(images, limits)))


def _from_sidecars(
    archive: Archive,
    sidecars: dict[int, int],
    layout: FolderLayout,
    images: Sequence[str],
    search: TableSearch,
    limits: Limits,
) -> Labeling | None:
    labels = read_sidecars(archive, sidecars, len(images))
    if labels.has_boxes:
        search.boxes.setdefault("YOLO", archive.names[min(sidecars)])
    if not labels.labels:
        return None
    labeling = new_labeling(layout, images, limits)
    labeling.source, labeling.used_files = "webdataset", set(sidecars)
    for image, label in labels.labels.items():
        labeling.codes[image] = labeling.encoder.encode(label, where=images[image])
    labeling.notes.append("The labels are from the files next to the images.")
    return labeling


def _from_lists(
    search: TableSearch, layout: FolderLayout, images: Sequence[str], limits: Limits
) -> Labeling | None:
    """Use one list of images per label, such as `cat.txt` and `dog.txt`."""
    labels = None if layout.has_several_labels else search.lists.label_of_images(len(images))
    if labels is None:
        return None
    labeling = new_labeling(layout, images, limits)
    labeling.source = "lists"
    for image, label in labels.items():
        labeling.codes[image] = labeling.encoder.encode(label, where=images[image])
    labeling.is_used = labeling.codes != UNLABELED
    names = ", ".join(printable(name) for name in list(search.lists.labels)[:3])
    labeling.notes.append(f"The labels are the names of lists of images: {names}.")
    return labeling


def _use_listed_parts(labeling: Labeling, search: TableSearch, layout: FolderLayout) -> None:
    """Use lists of the images of each part, such as `train.txt` and `test.txt`."""
    if any(folder.part for folder in layout.folders) or labeling.is_test.any():
        return
    is_test = search.lists.test_images(len(labeling.is_test))
    if is_test is not None:
        labeling.is_test = is_test
        labeling.notes.append("Lists of images in the archive name the test images.")


def _from_folders(
    layout: FolderLayout, images: Sequence[str], options: ImageOptions, limits: Limits
) -> Labeling:
    labeling = new_labeling(layout, images, limits)
    labeling.source = "folders"
    labels = [folder.label_at(options.folder_level) for folder in layout.folders]
    codes = [
        UNLABELED if label is None else labeling.encoder.encode(label, where=folder.path)
        for label, folder in zip(labels, layout.folders, strict=True)
    ]
    labeling.codes = np.array(codes, np.int32)[layout.folder_of]
    if not layout.has_labels:
        return labeling
    unlabeled = (labeling.codes == UNLABELED) & ~layout.is_mask & ~layout.is_chosen
    labeling.is_used &= ~unlabeled
    expected = layout.select([folder.role != "train" for folder in layout.folders])
    note_unlabeled_parts(labeling, layout, unlabeled & expected & ~layout.is_left_out)
    stray = np.flatnonzero(unlabeled & ~expected).tolist()
    if len(stray) > options.max_bad(len(images)):
        errors = ErrorCollector()
        for i in stray:
            errors.add(images[i], "label_missing", "is not in a folder and has no label")
        raise errors.to_error(
            "images have no label; put them into folders or list them in labels.csv"
        )
    if stray:
        hint = "Images outside of the folders of labels were left out."
        labeling.issues.append(images_issue("label_missing", "warning", stray, images, hint))
    return labeling


def _from_file_names(layout: FolderLayout, images: Sequence[str], limits: Limits) -> Labeling:
    labels = labels_in_file_names(images, limits)
    missing = [i for i, label in enumerate(labels) if label is None]
    if len(missing) == len(images):
        message = (
            "The file names have no labels in common. Names such as cat.0.jpg or 0001_cat.jpg "
            "have some."
        )
        raise unreadable_error("labels_from_unknown", message, pointer="/meta/labels_from")
    labeling = new_labeling(layout, images, limits)
    labeling.source = "file_names"
    for i, label in enumerate(labels):
        if label is not None:
            labeling.codes[i] = labeling.encoder.encode(label, where=images[i])
    if missing:
        labeling.is_used[missing] = False
        hint = "Images whose names do not have a label were left out."
        labeling.issues.append(images_issue("label_missing", "warning", missing, images, hint))
    return labeling


def _reject_documented(search: TableSearch) -> None:
    """Raise DatasetUnreadable if the only source of labels is a labels.csv that cannot be used."""
    for name in search.failures:
        if is_documented_name(name) and search.failures[name] not in {CAPTIONS, NAMES_NO_IMAGE}:
            raise _unusable_table_error(name, search)


def _unusable_table_error(
    name: str, search: TableSearch, label_column: str | None = None
) -> DatasetUnreadable:
    failed = next((each for each in search.failures if each.endswith(name)), name)
    if failed in search.errors:
        return search.errors[failed]
    reason = search.failures.get(failed, "lists too few images of the archive")
    message = f"{printable(failed)} {reason}."
    pointer = file_pointer(failed) if label_column is None else "/meta/label_column"
    return unreadable_error("labels_file_invalid", message, pointer=pointer)

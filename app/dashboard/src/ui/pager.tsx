// "Previous" and "Next" of a list whose offset is part of the address.
import { number } from "../format";
import { setQuery } from "../router";

export function Pager({ page, size }: { page: { data: unknown[]; offset: number; total: number; has_more: boolean }; size: number }) {
  const { data, offset, total, has_more } = page;
  return (
    <div class="row">
      <small class="muted">{number(Math.min(offset + 1, total))} to {number(offset + data.length)} of {number(total)}</small>
      <button type="button" class="button small" disabled={offset === 0} onClick={() => setQuery({ offset: offset > size ? String(offset - size) : null })}>Previous</button>
      <button type="button" class="button small" disabled={!has_more} onClick={() => setQuery({ offset: String(offset + size) })}>Next</button>
    </div>
  );
}

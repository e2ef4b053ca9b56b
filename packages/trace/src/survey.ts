/**
 * What a recording says of its guest before it is replayed: the levels of its page tables, and where its image lay in
 * memory.
 */
import { Access, type Batch, Kind } from "./batch.js";
import { type RecordedGuest, Region, regionsOf } from "./guest.js";
import { readTrace, type Recording } from "./read-trace.js";

const FOUND = Symbol("found");
const MAPPED = [Region.DirectMap, Region.Vmalloc, Region.Vmemmap];

/**
 * The guest, as far as this recording shows. Levels are those whose mappings the first address of the direct map,
 * vmalloc or the page descriptors lies in: they have none in common. The image's place is that of the first page of its
 * data, which no kernel copies; of its text where no data was touched.
 *
 * @param known what is known of it; its levels and place stay where the recording does not show them
 * @param image whether to look for the image's place, and for text that lay elsewhere: for this the recording is read
 *   to its end
 * @param also is given every batch that is read
 * @returns the guest, and whether text was fetched from elsewhere than the image: from a copy
 * @throws TraceError as the reader does
 */
export function surveyGuest(
  recording: Recording,
  known: RecordedGuest,
  image: boolean,
  also: (batch: Batch) => void = () => {},
): { readonly guest: RecordedGuest; readonly copied: boolean } {
  let levels: 4 | 5 | undefined;
  let place: number | undefined;
  const places = new Set<number>();
  const at = ([4, 5] as const).map((each) => ({
    levels: each,
    regionOf: regionsOf({ levels: each, image: known.image }),
  }));
  const { regionOf } = at[0]!;
  const firstPage = (lo: number, page: number): number =>
    page - Math.floor((lo - Number(known.image.stext & 0xffff_ffffn)) / 4096);
  const look = (batch: Batch): void => {
    also(batch);
    const { kind, lo, hi, a, b, length } = batch;
    for (let i = 0; i < length; i++) {
      const what = kind[i]!;
      if (what === Kind.Load || what === Kind.Store) {
        levels ??= at.find((each) => MAPPED.includes(each.regionOf(lo[i]!, hi[i]!)))?.levels;
        if ((a[i]! & (Access.NewPage | Access.Io)) === Access.NewPage && regionOf(lo[i]!, hi[i]!) === Region.Data)
          place ??= firstPage(lo[i]!, b[i]!);
      } else if (what === Kind.FetchPage && regionOf(lo[i]!, hi[i]!) === Region.Text)
        places.add(firstPage(lo[i]!, b[i]!));
      if (levels !== undefined && !image) throw FOUND;
    }
  };
  try {
    readTrace(recording, look);
  } catch (thrown) {
    if (thrown !== FOUND) throw thrown;
  }
  const [ofText] = places;
  const found = image ? (place ?? ofText) : undefined;
  const guest = {
    ...known,
    levels: levels ?? known.levels,
    image: { ...known.image, firstPage: found !== undefined && found >= 0 ? found : known.image.firstPage },
  };
  return { guest, copied: image && [...places].some((each) => each !== guest.image.firstPage) };
}

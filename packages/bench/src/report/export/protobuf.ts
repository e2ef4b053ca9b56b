/** A message within a protobuf stream. */
import type { PbfWriter } from "pbf";

/** Writes a message as a field. @param fill writes its content */
export const message = (pbf: PbfWriter, field: number, fill: (pbf: PbfWriter) => void): void =>
  pbf.writeMessage(field, (_, inner) => fill(inner), undefined);

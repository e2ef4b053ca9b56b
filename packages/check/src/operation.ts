/** One step of a check run, as plain data. */

/** Numbers of processes and CPUs are as drawn: they count those alive and on line, modulo. */
export interface Operation {
  readonly op: string;
}

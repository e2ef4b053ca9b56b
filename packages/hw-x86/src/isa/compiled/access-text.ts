/**
 * Memory accesses in the text of a compiled function. One that is aligned, and on a page with an open window, is done
 * in place; with every access accounted, any aligned one is charged by one call and done in place. All others go the
 * interpreter's way (memory.ts).
 */
import { Slot } from "../context.js";
import type { Instruction } from "../instruction.js";
import type { CodeText, Halves } from "./code-text.js";

/** Effective address of the memory operand, kept. As `effectiveAddress` in memory.ts. */
export function address(text: CodeText, i: Instruction): Halves {
  let { lo, hi } = text.pair(i.base);
  const carried = (sum: string, part: string): string => `((${sum}>>>0)<(${part}>>>0)?1:0)`;
  if (i.base === Slot.Zero) {
    lo = String(i.dispLo);
    hi = String(i.dispHi);
  } else if (i.dispLo !== 0 || i.dispHi !== 0) {
    const sum = text.keep("a", `(${lo}+${i.dispLo})|0`);
    hi = `((${hi}+${i.dispHi}+${carried(sum, lo)})|0)`;
    lo = sum;
  }
  if (i.index !== Slot.Zero) {
    const index = text.pair(i.index);
    const scaled = i.scale === 0 ? index.lo : text.keep("a", `${index.lo}<<${i.scale}`);
    const high = i.scale === 0 ? index.hi : `((${index.hi}<<${i.scale})|(${index.lo}>>>${32 - i.scale}))`;
    const sum = text.keep("a", `(${lo}+${scaled})|0`);
    hi = `((${hi}+${high}+${carried(sum, scaled)})|0)`;
    lo = sum;
  }
  if (i.addressSize === 4) hi = "0";
  if (i.segment !== Slot.Zero) {
    const base = text.keepPair(text.pair(i.segment));
    const sum = text.keep("a", `(${lo}+${base.lo})|0`);
    hi = `((${hi}+${base.hi}+${carried(sum, base.lo)})|0)`;
    lo = sum;
  }
  return text.keepPair({ lo, hi });
}

/** RSP moved by some bytes, kept. */
export function stackAddress(text: CodeText, bytes: number): Halves {
  const { lo, hi } = text.pair(Slot.Rsp);
  if (bytes === 0) return text.keepPair({ lo, hi });
  const moved = text.keep("a", `(${lo}+${bytes})|0`);
  const carry = bytes < 0 ? `((${moved}>>>0)>(${lo}>>>0)?-1:0)` : `((${moved}>>>0)<(${lo}>>>0)?1:0)`;
  return { lo: moved, hi: text.keep("b", `(${hi}+${carry})|0`) };
}

/** Statement that makes `st` a stack fault where the access goes through the stack, and leaves. */
function fault(text: CodeText, through: "stack" | "data"): void {
  text.add("{");
  if (through === "stack") text.add("st=stackFault(st);");
  text.leaveFaulted();
  text.add("}");
}

const aligned = ({ lo }: Halves, bytes: number): string => (bytes === 1 ? "" : `&&(${lo}&${bytes - 1})===0`);
const inWindow = (kind: "r" | "w", k: string, at: Halves, bytes: number): string =>
  `${kind}t[${k}<<1]===(${at.lo}&-4096)&&${kind}t[(${k}<<1)|1]===${at.hi}${aligned(at, bytes)}`;
const offset = (at: Halves): string => `((${at.lo}&4095)>>2)`;

/** Assigns the operand from the words at `q`. */
function take(text: CodeText, at: Halves, bytes: number): void {
  const { lo, hi } = text.operand;
  const shift = `((${at.lo}&3)<<3)`;
  if (bytes === 8) text.add(`${lo}=w[q];${hi}=w[q+1];`);
  else if (bytes === 4) text.add(`${lo}=w[q];`);
  else text.add(`${lo}=(w[q]>>>${shift})&${bytes === 2 ? 65535 : 255};`);
}

/** Puts a value into the words at an index. */
function place(text: CodeText, at: Halves, bytes: number, value: Halves, q: string): void {
  if (bytes === 8) text.add(`w[${q}]=${value.lo};w[${q}+1]=${value.hi};`);
  else if (bytes === 4) text.add(`w[${q}]=${value.lo};`);
  else {
    const mask = bytes === 2 ? 65535 : 255;
    const shift = text.keep("k", `(${at.lo}&3)<<3`);
    text.add(`w[${q}]=(w[${q}]&~(${mask}<<${shift}))|(((${value.lo})&${mask})<<${shift});`);
  }
}

/** Loads into the operand. */
export function load(text: CodeText, at: Halves, bytes: number, through: "stack" | "data" = "data"): void {
  const name = text.fresh("t");
  text.operand = { lo: name, hi: `${name}h` };
  text.add(`let ${name}=0,${name}h=0;`);
  if (text.accounted) {
    text.add(`if(true${aligned(at, bytes)}){q=P.chargeLoad(${at.lo},${at.hi});if(q<0){st=faulted(c,-q);`);
    fault(text, through);
    text.add(`}w=P.words;q=q+${offset(at)};`);
  } else {
    const k = text.keep("k", `(${at.lo}>>>12)&255`);
    text.add(`if(${inWindow("r", k, at, bytes)}){q=rb[${k}]+${offset(at)};`);
  }
  take(text, at, bytes);
  text.add(`}else{s[38]=${at.lo};s[39]=${at.hi};if((st=load(c,${bytes},0))!==0)`);
  fault(text, through);
  text.add(`${name}=s[34];${name}h=s[35];w=c.words;V=c.versions;if(P.version(F)!==G)stale=1;}`);
}

/**
 * After a store: if it may have changed the function's own code, it leaves. A store beside the code, in its page, only
 * counts the page's version on.
 */
function checkCode(text: CodeText, bytes: number, q: string, leave: () => void): void {
  const reach = bytes === 8 ? 1 : 0;
  text.add(`if(((${q}-pb)>>>0)<1024){if(((${q}-pb-CS+${reach})>>>0)<CN+${reach}){`);
  leave();
  text.add("}G=R.version=P.version(F);}");
}
function checkVersion(text: CodeText, leave: () => void): void {
  text.add("w=c.words;V=c.versions;if(P.version(F)!==G){");
  leave();
  text.add("}}");
}

/** Stores a value. @param leave writes what there is to do when the function's own code may have changed: it leaves */
export function store(
  text: CodeText,
  at: Halves,
  bytes: number,
  value: Halves,
  leave: () => void,
  through: "stack" | "data" = "data",
): void {
  const q = text.fresh("q");
  if (text.accounted) {
    text.add(`if(true${aligned(at, bytes)}){q=P.chargeStore(${at.lo},${at.hi});if(q<0){st=faulted(c,-q);`);
    fault(text, through);
    text.add(`}w=P.words;const ${q}=q+${offset(at)};`);
    place(text, at, bytes, value, q);
  } else {
    const k = text.keep("k", `(${at.lo}>>>12)&255`);
    text.add(`if(${inWindow("w", k, at, bytes)}){const ${q}=wb[${k}]+${offset(at)};V[ws[${k}]]++;`);
    place(text, at, bytes, value, q);
  }
  checkCode(text, bytes, q, leave);
  text.add(`}else{s[38]=${at.lo};s[39]=${at.hi};if((st=store(c,${bytes},${value.lo},${value.hi},1))!==0)`);
  fault(text, through);
  checkVersion(text, leave);
}

/**
 * A read-modify-write: loads for writing.
 * @param leave as of {@link store}
 * @returns what stores the operand again
 */
export function modify(text: CodeText, at: Halves, bytes: number, leave: () => void): () => void {
  const name = text.fresh("t");
  const q = text.fresh("q");
  text.operand = { lo: name, hi: `${name}h` };
  text.add(`let ${name}=0,${name}h=0,${q}=-1;`);
  let k = "";
  if (text.accounted) {
    text.add(`if(true${aligned(at, bytes)}){q=P.chargeModify(${at.lo},${at.hi});if(q<0){st=faulted(c,-q);`);
    fault(text, "data");
    text.add(`}w=P.words;q=${q}=q+${offset(at)};`);
  } else {
    k = text.keep("k", `(${at.lo}>>>12)&255`);
    text.add(`if(${inWindow("w", k, at, bytes)}){q=${q}=wb[${k}]+${offset(at)};`);
  }
  take(text, at, bytes);
  text.add(`}else{s[38]=${at.lo};s[39]=${at.hi};if((st=load(c,${bytes},1))!==0)`);
  fault(text, "data");
  text.add(`${name}=s[34];${name}h=s[35];w=c.words;V=c.versions;}`);
  return () => {
    text.add(`if(${q}>=0){`);
    place(text, at, bytes, { lo: name, hi: `${name}h` }, q);
    if (!text.accounted) text.add(`V[ws[${k}]]++;`);
    checkCode(text, bytes, q, leave);
    text.add(`}else{s[38]=${at.lo};s[39]=${at.hi};if((st=store(c,${bytes},${name},${name}h,1))!==0)`);
    fault(text, "data");
    checkVersion(text, leave);
  };
}

/**
 * Disjoint ranges of addresses in order, with a search for the lowest range that has room: an AVL tree whose nodes know
 * the longest range below them, so that a subtree without room is never entered. Linux keeps its free areas the same
 * way (mm/vmalloc.c, subtree_max_size). Serves for the gaps and, with values, for the areas in use.
 */
import { type AddressRange, alignUp, hex } from "@kreplica/hw-x86/api";
import { InvariantError } from "@kreplica/mm-core/api";

/** A half-open range [start, end) and what it stands for. */
export interface Range<T> extends AddressRange {
  readonly value: T;
}

interface Node<T> {
  range: Range<T>;
  left: Node<T> | undefined;
  right: Node<T> | undefined;
  height: number;
  /** Length in bytes of the longest range in this subtree. */
  longest: bigint;
}

const heightOf = <T>(node: Node<T> | undefined): number => node?.height ?? 0;
const longestOf = <T>(node: Node<T> | undefined): bigint => node?.longest ?? 0n;
const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);

function refresh<T>(node: Node<T>): Node<T> {
  node.height = 1 + Math.max(heightOf(node.left), heightOf(node.right));
  node.longest = larger(node.range.end - node.range.start, larger(longestOf(node.left), longestOf(node.right)));
  return node;
}

function rotateRight<T>(node: Node<T>): Node<T> {
  const top = node.left!;
  node.left = top.right;
  top.right = refresh(node);
  return refresh(top);
}

function rotateLeft<T>(node: Node<T>): Node<T> {
  const top = node.right!;
  node.right = top.left;
  top.left = refresh(node);
  return refresh(top);
}

function balance<T>(node: Node<T>): Node<T> {
  const lean = heightOf(node.left) - heightOf(node.right);
  if (lean > 1) {
    if (heightOf(node.left!.left) < heightOf(node.left!.right)) node.left = rotateLeft(node.left!);
    return rotateRight(node);
  }
  if (lean < -1) {
    if (heightOf(node.right!.right) < heightOf(node.right!.left)) node.right = rotateRight(node.right!);
    return rotateLeft(node);
  }
  return refresh(node);
}

/**
 * Ranges that never overlap; touching ranges stay apart. Every operation but iteration takes time in the tree's height.
 */
export class RangeTree<T> {
  private root: Node<T> | undefined;
  private count = 0;

  /** Number of ranges. */
  get size(): number {
    return this.count;
  }
  /** Longest path from the root, in nodes: at most 1.45 log2(size + 2). */
  get height(): number {
    return heightOf(this.root);
  }
  /** Length in bytes of the longest range, 0 when there is none. */
  get longest(): bigint {
    return longestOf(this.root);
  }

  /** @throws InvariantError when it is empty or overlaps one that is there */
  insert({ start, end }: AddressRange, value: T): void {
    const below = this.floor(end - 1n);
    if (end <= start || (below && below.end > start)) {
      throw new InvariantError(`range ${hex(start)}..${hex(end)} is empty or overlaps ${below && hex(below.start)}`);
    }
    const add = (node: Node<T> | undefined): Node<T> => {
      if (!node)
        return refresh({ range: { start, end, value }, left: undefined, right: undefined, height: 1, longest: 0n });
      if (start < node.range.start) node.left = add(node.left);
      else node.right = add(node.right);
      return balance(node);
    };
    this.root = add(this.root);
    this.count++;
  }

  /** Takes out the range that starts there. @returns it, or undefined when there is none */
  remove(start: bigint): Range<T> | undefined {
    let taken: Range<T> | undefined;
    const lowest = (node: Node<T>): Node<T> => (node.left ? lowest(node.left) : node);
    const take = (node: Node<T> | undefined, at: bigint): Node<T> | undefined => {
      if (!node) return undefined;
      if (at < node.range.start) node.left = take(node.left, at);
      else if (at > node.range.start) node.right = take(node.right, at);
      else {
        taken ??= node.range;
        if (!node.left) return node.right;
        if (!node.right) return node.left;
        node.range = lowest(node.right).range;
        node.right = take(node.right, node.range.start);
      }
      return balance(node);
    };
    this.root = take(this.root, start);
    if (taken) this.count--;
    return taken;
  }

  /** The range with the highest start not above the address. */
  floor(address: bigint): Range<T> | undefined {
    let best: Range<T> | undefined;
    for (let node = this.root; node;) {
      if (node.range.start <= address) {
        best = node.range;
        node = node.right;
      } else node = node.left;
    }
    return best;
  }

  /** The range that contains the address. */
  containing(address: bigint): Range<T> | undefined {
    const range = this.floor(address);
    return range && address < range.end ? range : undefined;
  }

  /**
   * Lowest address in [low, high) where `length` bytes on a multiple of `align` lie inside one range.
   * @param align a power of two
   * @returns the address, or undefined when no range has room
   */
  lowestFit(length: bigint, align: bigint, { start: low, end: high }: AddressRange): bigint | undefined {
    const search = (node: Node<T> | undefined): bigint | undefined => {
      if (!node || node.longest < length) return undefined;
      if (node.range.start > low) {
        const left = search(node.left);
        if (left !== undefined) return left;
      }
      const at = alignUp(larger(node.range.start, low), align);
      if (at + length <= node.range.end && at + length <= high) return at;
      return node.range.end < high ? search(node.right) : undefined;
    };
    return search(this.root);
  }

  /** In address order. */
  *[Symbol.iterator](): Generator<Range<T>> {
    const path: Node<T>[] = [];
    for (let node = this.root; node || path.length > 0;) {
      while (node) {
        path.push(node);
        node = node.left;
      }
      const here: Node<T> = path.pop()!;
      yield here.range;
      node = here.right;
    }
  }
}

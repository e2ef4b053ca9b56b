/**
 * The areas of an address space, ordered and found in logarithmic time: a treap whose priorities come from the
 * addresses, so that the same areas always make the same tree. Linux keeps them in a maple tree; what matters here is
 * order and cost.
 */
import { type AddressRange, meet } from "@kreplica/hw-x86/api";

/** A half-open run of whole pages with one set of properties. */
export type Area = AddressRange;

interface Node<A> {
  area: A;
  priority: number;
  left: Node<A> | undefined;
  right: Node<A> | undefined;
}

/** Mixes an address into 32 bits nobody can choose by choosing neighbours. */
function priorityOf(start: bigint): number {
  let mixed = Number(start & 0xffff_ffffn) ^ Number((start >> 32n) & 0xffff_ffffn);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x7feb352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** The areas of an address space in order, found in logarithmic time; the same areas make the same tree. */
export class VmaTree<A extends Area> {
  private root: Node<A> | undefined;
  size = 0;

  /** The area that holds the address, or the first one above it. */
  atOrAbove(address: bigint): A | undefined {
    let found: A | undefined;
    for (let node = this.root; node;) {
      if (node.area.end > address) {
        found = node.area;
        node = node.left;
      } else node = node.right;
    }
    return found;
  }

  /** The area that holds the address. */
  at(address: bigint): A | undefined {
    const found = this.atOrAbove(address);
    return found && found.start <= address ? found : undefined;
  }

  /** Areas that meet [start, end), ascending. */
  meeting(range: AddressRange): A[] {
    const found: A[] = [];
    const visit = (node: Node<A> | undefined): void => {
      if (!node) return;
      if (node.area.end > range.start) visit(node.left);
      if (meet(node.area, range)) found.push(node.area);
      if (node.area.start < range.end) visit(node.right);
    };
    visit(this.root);
    return found;
  }

  /** All areas, ascending. */
  all(): A[] {
    const found: A[] = [];
    eachOf(this.root, (area) => {
      found.push(area);
    });
    return found;
  }

  /** Visits all areas, ascending; the visitor changes none. */
  forEach(visit: (area: A) => void): void {
    eachOf(this.root, visit);
  }

  /** The area must meet no other. */
  insert(area: A): void {
    const node: Node<A> = { area, priority: priorityOf(area.start), left: undefined, right: undefined };
    const [left, right] = split(this.root, area.start);
    this.root = join(join(left, node), right);
    this.size++;
  }

  /** @returns whether it was there */
  remove(area: A): boolean {
    const [left, rest] = split(this.root, area.start);
    const [middle, right] = split(rest, area.start + 1n);
    this.root = join(left, right);
    if (middle) this.size--;
    return middle !== undefined;
  }
}

function eachOf<A>(node: Node<A> | undefined, visit: (area: A) => void): void {
  for (; node; node = node.right) {
    eachOf(node.left, visit);
    visit(node.area);
  }
}

/** Nodes that start below an address, and the others. */
function split<A extends Area>(node: Node<A> | undefined, at: bigint): [Node<A> | undefined, Node<A> | undefined] {
  if (!node) return [undefined, undefined];
  if (node.area.start < at) {
    const [left, right] = split(node.right, at);
    node.right = left;
    return [node, right];
  }
  const [left, right] = split(node.left, at);
  node.left = right;
  return [left, node];
}

function join<A>(left: Node<A> | undefined, right: Node<A> | undefined): Node<A> | undefined {
  if (!left) return right;
  if (!right) return left;
  if (left.priority > right.priority) {
    left.right = join(left.right, right);
    return left;
  }
  right.left = join(left, right.left);
  return right;
}

/** For tests of whoever binds TextPoke: its contract. */
export { type PokeSubject, textPokeContract } from "./testing/text-poke-contract.js";

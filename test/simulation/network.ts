// Mailboxes on a simulated network: requests and replies are delayed, lost and doubled.

import type { World } from './world.ts'

/** Answers a message; one that never resolves is a node that does not answer. */
export type Mailbox = (message: unknown) => Promise<unknown>

/** A network between named nodes. */
export class Network {
  readonly #world: World
  readonly #nodes = new Map<string, Mailbox>()
  /** One message in so many is lost, and one in so many is doubled; Infinity for none. */
  lossy = 20

  constructor(world: World) {
    this.#world = world
  }

  /** Connects a node under a name. */
  attach(name: string, mailbox: Mailbox): void {
    this.#nodes.set(name, mailbox)
  }

  /** Disconnects it: messages to it, and its replies, are lost. */
  detach(name: string): void {
    this.#nodes.delete(name)
  }

  /** Names of the connected nodes that begin so. */
  named(prefix: string): string[] {
    return [...this.#nodes.keys()].filter((name) => name.startsWith(prefix))
  }

  /** Sends a request; resolves with the reply, or with null where none has come in `timeoutMs`. */
  request(to: string, message: unknown, timeoutMs: number): Promise<unknown> {
    const { promise, resolve } = Promise.withResolvers<unknown>()
    const copies = this.#strikes() ? 2 : 1
    for (let copy = 0; copy < copies; copy++) if (!this.#strikes()) this.#world.in(this.#delay(), () => this.#deliver(to, message, resolve))
    this.#world.in(timeoutMs, () => resolve(null))
    return promise
  }

  #deliver(to: string, message: unknown, resolve: (reply: unknown) => void): void {
    const mailbox = this.#nodes.get(to)
    if (mailbox === undefined) return
    void mailbox(message).then((reply) => {
      if (this.#nodes.get(to) !== mailbox || this.#strikes()) return
      this.#world.in(this.#delay(), () => resolve(reply))
    })
  }

  #strikes(): boolean {
    return this.lossy !== Infinity && this.#world.random.oneIn(this.lossy)
  }

  #delay(): number {
    const { random } = this.#world
    return random.oneIn(20) ? random.below(5_000) : random.below(50)
  }
}

// Where a guard lives that survives its process: in memory with the semantics of the file, or the file itself.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGuard, GuardError, openGuard, type Guard, type SignedHead } from '../../src/log/guard.ts'

/** A disk with one guard. */
export interface GuardDisk extends Disposable {
  readonly id: string
  /** Opens and locks it. Throws GuardError where it is in use. */
  open(): Guard
}

/** A new guard of a log that has signed nothing but its `first` head. */
export function guardDisk(kind: 'memory' | 'file', origin: string, id: string, first: SignedHead): GuardDisk {
  return kind === 'file' ? onFile(origin, id, first) : inMemory(origin, id, first)
}

function onFile(origin: string, id: string, first: SignedHead): GuardDisk {
  const folder = mkdtempSync(join(tmpdir(), 'stele-simulation-'))
  const path = join(folder, 'guard.sqlite')
  createGuard(path, origin, id, first)[Symbol.dispose]()
  return { id, open: () => openGuard(path, origin), [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
}

function inMemory(origin: string, id: string, first: SignedHead): GuardDisk {
  let kept = first
  let holder: object | null = null
  function open(): Guard {
    if (holder !== null) throw new GuardError('the guard is in use')
    const own = {}
    holder = own
    return {
      id,
      origin,
      last: () => kept,
      record(head) {
        const same = head.size === kept.size && Buffer.compare(head.root, kept.root) === 0
        if (head.size < kept.size || (head.size === kept.size && !same)) throw new GuardError('it contradicts what was signed')
        kept = head
      },
      retire() {
        throw new GuardError('a guard in memory is not handed over')
      },
      [Symbol.dispose]() {
        if (holder === own) holder = null
      },
    }
  }
  return { id, open, [Symbol.dispose]: () => undefined }
}

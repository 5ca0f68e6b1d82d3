// What a client remembers of logs: the largest checkpoint of each that it verified, and evidence against it. docs/client.md#stores

/**
 * Remembers. A log is named by its verifier key (NAME+ID+BASE64): two logs of one origin are two. The checkpoints are signed notes and
 * the client checks what it reads back; but a store that forgets, or goes back, gives up the protection from older trees.
 */
export interface CheckpointStore {
  /** The checkpoint with the largest size that was ever kept; null for none. */
  newest(log: string): Promise<string | null>
  /** Keeps a checkpoint. From then on `newest` gives it, or a larger one; it does nothing where there is a larger one. */
  keep(log: string, size: number, note: string): Promise<void>
  /** The evidence that the log contradicted itself; null for none. */
  evidence(log: string): Promise<string | null>
  /** Keeps such evidence. */
  convict(log: string, evidence: string): Promise<void>
}

/** What localStorage and sessionStorage are. */
export interface WebStorage {
  readonly length: number
  key(index: number): string | null
  getItem(key: string): string | null
  setItem(key: string, value: string): void
  removeItem(key: string): void
}

/** A store that ends with the process or the page: it protects from older trees than were seen since it began. */
export function memoryCheckpoints(): CheckpointStore {
  const values = new Map<string, string>()
  return webStorageCheckpoints({
    get length() {
      return values.size
    },
    key: (index) => [...values.keys()][index] ?? null,
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => void values.set(key, value),
    removeItem: (key) => void values.delete(key),
  })
}

/**
 * A store in `localStorage` or anything like it, under keys that begin with `prefix`. Every size has a key of its own and the largest counts,
 * so that two tabs that write at the same time do not go back.
 */
export function webStorageCheckpoints(storage: WebStorage, prefix = 'stele'): CheckpointStore {
  const evidenceKey = (log: string): string => `${prefix} evidence ${log}`
  const sizeKey = (log: string, size: number | ''): string => `${prefix} checkpoint ${log} ${size}`

  function sizesOf(log: string): number[] {
    const start = sizeKey(log, '')
    const keys = Array.from({ length: storage.length }, (_, i) => storage.key(i) ?? '')
    const sizes = keys.filter((key) => key.startsWith(start)).map((key) => Number(key.slice(start.length)))
    return sizes.filter((size) => Number.isSafeInteger(size)).sort((a, b) => b - a)
  }

  return {
    newest(log) {
      const [largest] = sizesOf(log)
      return Promise.resolve(largest === undefined ? null : storage.getItem(sizeKey(log, largest)))
    },
    keep(log, size, note) {
      storage.setItem(sizeKey(log, size), note)
      for (const smaller of sizesOf(log).slice(1)) storage.removeItem(sizeKey(log, smaller))
      return Promise.resolve()
    },
    evidence: (log) => Promise.resolve(storage.getItem(evidenceKey(log))),
    convict(log, evidence) {
      storage.setItem(evidenceKey(log), evidence)
      return Promise.resolve()
    },
  }
}

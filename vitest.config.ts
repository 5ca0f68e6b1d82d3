import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/**/*.slow.test.ts', 'test/interop/**/*.go.test.ts'],
    // Most of the long tests wait for processes: on two cores one worker would leave them idle.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    setupFiles: ['test/support/fixed-seed.ts'],
    testTimeout: 240_000,
    expect: { poll: { timeout: 30_000 } },
    hookTimeout: 240_000,
  },
})

// Reads a log with Tessera's client library: its newest checkpoint, which must contain the one that an earlier run
// left, every entry, and a proof for each that it is where it stands.
//
//	tessera LOG_URL VERIFIER_KEY STATE_FILE
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"net/url"
	"os"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	if err := read(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatalf("refused: %v", err)
	}
}

func read(ctx context.Context, logURL, key, stateFile string) error {
	root, err := url.Parse(logURL + "/")
	if err != nil {
		return err
	}
	fetcher, err := client.NewHTTPFetcher(root, http.DefaultClient)
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return err
	}
	known, err := os.ReadFile(stateFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tracker, err := client.NewLogStateTracker(ctx, fetcher.ReadTile, known, verifier, verifier.Name(), client.UnilateralConsensus(fetcher.ReadCheckpoint))
	if err != nil {
		return err
	}
	before := tracker.Latest().Size
	_, _, newest, err := tracker.Update(ctx)
	if err != nil {
		return err
	}
	checkpoint := tracker.Latest()
	if err := readEntries(ctx, fetcher, checkpoint.Size, checkpoint.Hash); err != nil {
		return err
	}
	if err := os.WriteFile(stateFile, newest, 0o600); err != nil {
		return err
	}
	fmt.Printf("%d entries under %x, consistent with %d\n", checkpoint.Size, checkpoint.Hash, before)
	return nil
}

func readEntries(ctx context.Context, fetcher *client.HTTPFetcher, size uint64, root []byte) error {
	builder, err := client.NewProofBuilder(ctx, size, fetcher.ReadTile)
	if err != nil {
		return err
	}
	getSize := func(context.Context) (uint64, error) { return size, nil }
	unbundle := func(raw []byte) ([][]byte, error) {
		var bundle api.EntryBundle
		err := bundle.UnmarshalText(raw)
		return bundle.Entries, err
	}
	next := uint64(0)
	for entry, err := range client.Entries(client.EntryBundles(ctx, 2, getSize, fetcher.ReadEntryBundle, 0, size), unbundle) {
		if err != nil {
			return err
		}
		if entry.Index != next {
			return fmt.Errorf("entry %d came where %d was due", entry.Index, next)
		}
		hashes, err := builder.InclusionProof(ctx, next)
		if err != nil {
			return err
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, next, size, rfc6962.DefaultHasher.HashLeaf(entry.Entry), hashes, root); err != nil {
			return fmt.Errorf("entry %d: %w", next, err)
		}
		next++
	}
	if next != size {
		return fmt.Errorf("%d entries of %d", next, size)
	}
	return nil
}

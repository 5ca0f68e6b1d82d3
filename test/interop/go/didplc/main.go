// Follows a directory's export to its end and judges it with the rules of go-didplc: every identity's operations,
// their order, signatures and nullifications; then compares what the directory serves for each identity.
//
//	didplc DIRECTORY_URL
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"reflect"
	"strings"

	"github.com/did-method-plc/go-didplc"
)

// A line of an export by sequence number.
type line struct {
	didplc.LogEntry
	Seq  int64  `json:"seq"`
	Type string `json:"type"`
}

func main() {
	if err := follow(context.Background(), os.Args[1]); err != nil {
		log.Fatalf("refused: %v", err)
	}
}

func follow(ctx context.Context, directory string) error {
	identities := map[string][]didplc.LogEntry{}
	var order []string
	operations := 0
	for after := int64(0); ; {
		lines, err := page(ctx, directory, after)
		if err != nil {
			return err
		}
		if len(lines) == 0 {
			break
		}
		for _, l := range lines {
			if l.Type != "sequenced_op" || l.Seq <= after {
				return fmt.Errorf("after %d came %d, a %s", after, l.Seq, l.Type)
			}
			after = l.Seq
			if identities[l.DID] == nil {
				order = append(order, l.DID)
			}
			identities[l.DID] = append(identities[l.DID], l.LogEntry)
			operations++
		}
	}
	client := didplc.Client{DirectoryURL: directory}
	nullified, ended := 0, 0
	for _, did := range order {
		entries := identities[did]
		head, undone, err := judge(ctx, &client, entries)
		if err != nil {
			return fmt.Errorf("%s: %w", did, err)
		}
		nullified += undone
		if _, tombstone := head.(*didplc.TombstoneOp); tombstone {
			ended++
		}
		if err := compare(ctx, &client, did, head); err != nil {
			return fmt.Errorf("%s: %w", did, err)
		}
	}
	fmt.Printf("agreed on %d identities and %d operations, %d of them nullified, %d of them ended\n", len(order), operations, nullified, ended)
	return nil
}

func page(ctx context.Context, directory string, after int64) ([]line, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/export?after=%d", directory, after), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("export: %s", response.Status)
	}
	var lines []line
	scanner := bufio.NewScanner(response.Body)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return lines, scanner.Err()
}

// The newest operation in effect, and how many are not. The export does not say which those are; the audit log does, and
// go-didplc refuses operations where it would have decided otherwise.
func judge(ctx context.Context, client *didplc.Client, exported []didplc.LogEntry) (didplc.Operation, int, error) {
	audited, err := client.AuditLog(ctx, exported[0].DID)
	if err != nil {
		return nil, 0, err
	}
	if len(audited) != len(exported) {
		return nil, 0, fmt.Errorf("%d operations in the audit log, %d in the export", len(audited), len(exported))
	}
	var head didplc.Operation
	nullified := 0
	for i := range exported {
		if audited[i].CID != exported[i].CID || audited[i].CreatedAt != exported[i].CreatedAt {
			return nil, 0, fmt.Errorf("operation %d is another in the audit log than in the export", i)
		}
		exported[i].Nullified = audited[i].Nullified
		if exported[i].Nullified {
			nullified++
		} else {
			head = exported[i].Operation.AsOperation()
		}
	}
	return head, nullified, didplc.VerifyOpLog(exported)
}

func compare(ctx context.Context, client *didplc.Client, did string, head didplc.Operation) error {
	served, err := client.Resolve(ctx, did)
	if _, tombstone := head.(*didplc.TombstoneOp); tombstone {
		if !errors.Is(err, didplc.ErrDIDNotFound) {
			return fmt.Errorf("it has ended, and is served: %v", err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	derived, err := head.Doc(did)
	if err != nil {
		return err
	}
	// go-didplc writes whole ids of services, the directory that is deployed writes fragments alone.
	for i := range derived.Service {
		derived.Service[i].ID = strings.TrimPrefix(derived.Service[i].ID, did)
	}
	if !reflect.DeepEqual(*served, derived) {
		return fmt.Errorf("the document is %+v, and follows from the operations as %+v", *served, derived)
	}
	return nil
}

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the manual proposes for libvirt is valid to it.
func TestLibvirtAcceptsTheXMLOfTheManual(t *testing.T) {
	for _, program := range []string{"virt-xml-validate", "xmllint"} { // it runs the second
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "" {
				t.Skip(err)
			}
			t.Fatal(err)
		}
	}
	manual, err := os.ReadFile("../man/lunserve.8")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(manual), `\-`, "-")
	devices := regexp.MustCompile(`(?s)<(disk|hostdev) .*?</(disk|hostdev)>`).FindAllString(text, -1)
	if len(devices) != 2 {
		t.Fatalf("found %q", devices)
	}
	file := filepath.Join(t.TempDir(), "domain.xml")
	domain := "<domain type='kvm'><name>guest</name><memory>1048576</memory><os><type>hvm</type></os><devices>" + strings.Join(devices, "") + "</devices></domain>\n"
	if err := os.WriteFile(file, []byte(domain), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("virt-xml-validate", file, "domain").CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, domain)
	}
}

#!/bin/sh
# OpenLDAP with Printpost's schema, for deploy/compose.full.yaml; it stands for the directory of your own.
#
# It makes its database at the first start and then runs slapd on a Unix socket.  Two identities may bind: the appliance
# writes and reads all but passwords, the bridge reads printers.  Nobody may change the configuration while it runs.
set -eu
umask 077

own=$(python3 -c "import mailstore.directory as package; print(*package.__path__)")
schema=/etc/ldap/schema
home=/var/lib/printpost
base=dc=example,dc=com
appliance="cn=appliance,ou=identities,$base"
bridge="cn=bridge,ou=identities,$base"

config() {
    cat <<LDIF
dn: cn=config
objectClass: olcGlobal
cn: config
olcDisallows: bind_anon
olcThreads: 4

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb
olcModuleLoad: unique
olcModuleLoad: argon2 m=7168 t=5 p=1

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

LDIF
    for file in $schema/core $schema/cosine $schema/nis $schema/inetorgperson $schema/misc "$own/printer" "$own/printpost"; do
        cat "$file.ldif"
        echo
    done
    cat <<LDIF
dn: olcDatabase={-1}frontend,cn=config
objectClass: olcDatabaseConfig
objectClass: olcFrontendConfig
olcDatabase: {-1}frontend
olcPasswordHash: {ARGON2}

dn: olcDatabase={0}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {0}config
olcAccess: to * by * none

dn: olcDatabase={1}mdb,cn=config
objectClass: olcMdbConfig
olcDatabase: {1}mdb
olcSuffix: $base
olcRootDN: cn=nobody
olcDbDirectory: $home/data
olcDbMaxSize: 1073741824
olcDbIndex: objectClass,uid,mail,mailLocalAddress eq
olcLimits: dn.exact="$appliance" size=unlimited
olcLimits: dn.exact="$bridge" size=unlimited
olcAccess: to dn.subtree="ou=identities,$base" attrs=userPassword by anonymous =x by * none
olcAccess: to dn.subtree="ou=identities,$base" by * none
olcAccess: to attrs=userPassword by dn.exact="$appliance" =w by anonymous =x by * none
olcAccess: to dn.subtree="ou=printers,$base" by dn.exact="$appliance" write by dn.exact="$bridge" read by * none
olcAccess: to dn.base="$base" by dn.exact="$appliance" write by dn.exact="$bridge" search by * none
olcAccess: to * by dn.exact="$appliance" write by * none

dn: olcOverlay=unique,olcDatabase={1}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcUniqueConfig
olcOverlay: unique
olcUniqueURI: ldap:///$base?uid,mail,mailLocalAddress?sub
LDIF
}

unit() {
    printf 'dn: ou=%s,%s\nobjectClass: organizationalUnit\nou: %s\n\n' "$1" "$base" "$1"
}

identity() { # DN FILE
    [ -s "$2" ] || { echo "directory: $2 is missing or empty: put the password of $1 there" >&2; exit 78; }
    hash=$(tr -d '\r\n' <"$2" | slappasswd -n -T /dev/stdin -o module-path=/usr/lib/ldap -o module-load=argon2 -h '{ARGON2}')
    name=${1#cn=}
    printf 'dn: %s\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n' "$1"
    printf 'cn: %s\nuserPassword: %s\n\n' "${name%%,*}" "$hash"
}

entries() {
    printf 'dn: %s\nobjectClass: domain\ndc: example\n\n' "$base"
    for name in identities printers people groups; do unit $name; done
    identity "$appliance" /run/secrets/appliance
    identity "$bridge" /run/secrets/bridge
}

cd "$home"
# The configuration is written anew at each start, so that the schema of a new release reaches a database that is there.
[ -e made ] || rm -rf data
rm -rf config
mkdir -p config data
config >config.ldif
slapadd -n 0 -F config -l config.ldif
rm config.ldif
if [ ! -e made ]; then
    entries >entries.ldif
    slapadd -n 1 -F config -l entries.ldif
    rm entries.ldif
    touch made
fi
# slapd makes room for as many connections as there may be descriptors.
exec prlimit --nofile=1024 slapd -F config -h "ldapi://%2Frun%2Fprintpost%2Fldapi" -d none

"""What only the tests of a checkout use; built with ``-Dtesting=true``, in no wheel."""
